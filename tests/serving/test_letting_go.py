"""A worker lets go of the versions that are taken away: their memory returns."""

from __future__ import annotations

import asyncio
import gc
import weakref
from pathlib import Path

import msgspec
import numpy as np
import psutil
import pytest
from onnx import TensorProto, helper
from serving_models import ONE, graph, package_of
from subjects import loan

from mainstay.models.encoder import Block, Encoder
from mainstay.models.package import Draft
from mainstay.registry.blobs import FolderBlobs
from mainstay.serving import follower as following
from mainstay.serving import metrics, routing
from mainstay.serving.app import App
from mainstay.serving.door import Door
from mainstay.serving.follower import Follower
from mainstay.serving.guard import Guard

SIZE = 2000
"""The model's matrix has so many columns and rows: 32 MB."""


def heavy(bias: float) -> Draft:
    weights = {"wide": np.full((1, SIZE), 1.0 / SIZE), "matrix": np.eye(SIZE) + bias * 0, "narrow": np.ones((SIZE, 1))}
    nodes = [
        helper.make_node("MatMul", ["features", "wide"], ["spread"]),
        helper.make_node("MatMul", ["spread", "matrix"], ["through"]),
        helper.make_node("MatMul", ["through", "narrow"], ["sum"]),
        helper.make_node("Add", ["sum", "bias"], ["value"]),
    ]
    outputs = {"value": (TensorProto.DOUBLE, ["n", 1])}
    model = graph(nodes, {**weights, "bias": np.array([bias])}, width=1, outputs=outputs)
    return package_of(ONE, model, [{"x": 1.0}], encoder=Encoder(blocks=(Block((0,)),)))


def placed(blobs: FolderBlobs, ref: str, draft: Draft) -> routing.Placed:
    for data in (*draft.content.values(), *draft.attestations.values()):
        blobs.put(data)
    return routing.Placed(version=ref, manifest=draft.manifest())


def test_the_memory_of_versions_that_were_taken_away_returns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(following, "LET_GO_AFTER", 0.0)
    blobs, run = FolderBlobs(tmp_path / "blobs"), tmp_path / "run"
    run.mkdir()
    (run / metrics.FOLDER).mkdir()
    stable = placed(blobs, "loan:1", loan())
    others = [placed(blobs, f"loan:{number}", heavy(float(number))) for number in (2, 3)]
    log = lambda *said, **facts: None  # noqa: E731 - nobody reads it
    edition = 0

    async def follow() -> None:
        follower = Follower(run, worker=0, log=log)
        slots = metrics.Slots(run / metrics.FOLDER / "0.slots")
        app = App(follower, slots, Guard(run, log=log), Door(loopback=True), run=run, max_body=1000, log=log)

        async def to(*beside: routing.Placed) -> None:
            nonlocal edition
            edition += 1
            table = routing.Table(
                generation=edition,
                blobs=str(blobs.root),
                routes={"loan": routing.Route(stable="loan:1", beside=tuple(each.version for each in beside))},
                versions={each.version: each for each in (stable, *beside)},
                edition=edition,
            )
            routing.write_table(run, table)
            await follower.catch_up()
            app.learn()
            assert follower.errors == {}
            assert set(follower.beside) == {each.version for each in beside}
            for _ in range(3):
                await asyncio.sleep(0)  # what is let go of is let go of in a task

        sizes, gone = [], []
        for turn in range(14):
            await to(others[turn % 2])
            gone.append(weakref.ref(follower.beside[others[turn % 2].version]))
            await to()
            gc.collect()
            assert gone[-1]() is None  # not even before the next request
            sizes.append(psutil.Process().memory_info().rss)
        model = SIZE * SIZE * 8
        # One model more or less may be given back late; of 10 turns, 10 would be kept.
        assert min(sizes[-4:]) - min(sizes[:4]) < 2 * model

    asyncio.run(follow())


def test_a_table_of_before_there_were_versions_beside_is_read(tmp_path: Path) -> None:
    manifest = msgspec.to_builtins(loan().manifest())
    old = {
        "generation": 3,
        "blobs": "/blobs",
        "routes": {"loan": {"stable": "loan:1"}},
        "versions": {"loan:1": {"version": "loan:1", "manifest": manifest}},
        "edition": 2,
    }
    (tmp_path / routing.TABLE).write_bytes(msgspec.json.encode(old))
    table = routing.read_table(tmp_path)
    assert table is not None
    assert (table.routes["loan"].placed, table.routes["loan"].aliases, table.errors) == (["loan:1"], {}, {})
