"""Swaps two versions 200 times in one process, and prints its resident memory, in bytes, after each.

Their files are large enough that one which is not let go of is seen.
"""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path

import numpy as np
import onnx
import psutil
from onnx import TensorProto, helper, numpy_helper
from subjects import draft

from mainstay.models.encoder import Block, Encoder
from mainstay.models.golden import Golden
from mainstay.models.package import Draft, ModelSpec
from mainstay.models.signature import Column, Signature
from mainstay.registry.blobs import FolderBlobs
from mainstay.serving import follower as following
from mainstay.serving.routing import Placed, Route, Table, write_table

WIDTH = 50_000
"""Hidden numbers: 800 kB of weights."""


def wide(seed: int) -> Draft:
    """A regression y = x · c, by way of a product of matrices."""
    into = np.random.default_rng(seed).normal(size=(1, WIDTH))
    out = np.full((WIDTH, 1), 1.0 / WIDTH)
    nodes = [
        helper.make_node("MatMul", ["features", "into"], ["hidden"]),
        helper.make_node("MatMul", ["hidden", "out"], ["value"]),
    ]
    graph = helper.make_graph(
        nodes,
        "wide",
        [helper.make_tensor_value_info("features", TensorProto.DOUBLE, ["n", 1])],
        [helper.make_tensor_value_info("value", TensorProto.DOUBLE, ["n", 1])],
        [numpy_helper.from_array(into, "into"), numpy_helper.from_array(out, "out")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(model)
    golden = Golden(rows=[{"x": x} for x in (0.5, -3)], values=[x * float(into.mean()) for x in (0.5, -3)])
    signature = Signature(
        inputs=(Column(name="x", type="number", minimum=0, maximum=10, typical=3.0),), task="regression", target="y"
    )
    encoder = Encoder(blocks=(Block(columns=(0,)),))
    return draft(signature, encoder, ModelSpec(format="onnx", file="model.onnx"), golden, model.SerializeToString())


async def swap(root: Path) -> None:
    blobs, run = FolderBlobs(root / "blobs"), root / "run"
    run.mkdir()
    placed = []
    for number in (1, 2):
        draft = wide(number)
        for content in draft.content.values():
            blobs.put(content)
        placed.append(Placed(version=f"wide:{number}", manifest=draft.manifest()))
    following.LET_GO_AFTER = 0.0
    follower = following.Follower(run, worker=0, log=lambda *said, **facts: None)
    for edition in range(200):
        now = placed[edition % 2]
        routes, versions = {"wide": Route(stable=now.version)}, {now.version: now}
        write_table(run, Table(generation=edition, blobs=str(blobs.root), routes=routes, versions=versions))
        await follower.catch_up()
        assert follower.serving["wide"].version == now.version, follower.errors
        await asyncio.gather(*follower._letting_go)
        print(psutil.Process().memory_info().rss)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(swap(Path(folder)))
