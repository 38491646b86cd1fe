"""`mainstay demo`: the main job on real data, from a CSV file to answers over HTTP, and to versions rolled out."""

from __future__ import annotations

import json
import threading
import urllib.request
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from mainstay.errors import CheckFailed
from mainstay.models.golden import TOLERANCE
from mainstay.operations.background import Running, background
from mainstay.operations.demo_rollouts import roll_out
from mainstay.operations.deploying import deploy
from mainstay.operations.home import state_of
from mainstay.operations.initialising import initialise
from mainstay.operations.making import Made, by_search
from mainstay.operations.preparing import Prepared, prepare
from mainstay.operations.publishing import Trained, publish
from mainstay.operations.registries import opened
from mainstay.operations.training import command_line, settings_of
from mainstay.operations.waiting import until_interrupted
from mainstay.operations.watching import Watcher
from mainstay.project import FILE, Data
from mainstay.registry.locks import train_lock
from mainstay.serving.ports import port_is_free

CSV = "breast_cancer.csv"
TARGET = "diagnosis"
ASKED = 5
"""Held-out rows that the served model is asked about."""


class Demonstrated(msgspec.Struct, frozen=True, kw_only=True):
    """What `mainstay demo` answers."""

    folder: str
    version: str
    url: str
    """Where it was served."""
    asked: int
    """Rows whose served answers were those of the native model."""
    report: str
    rolled_back: str
    """The version with shuffled labels, which was rolled out, caught, and rolled back by itself."""
    rolled_out: str
    """The sound one that was rolled out after it, and answers."""


class WrongAnswer(CheckFailed):
    """The served model did not answer as the native one."""


def demo(folder: Path, *, port: int, budget: float, once: bool, watch: Watcher) -> Demonstrated:
    """Writes real data as a CSV file, then does with it what a person would do with his own.

    Args:
        folder: of the demo's project; made where it is not there.
        port: to serve on; where it is taken, a free one.
        budget: seconds of search.
        once: end after the requests, in place of serving until Ctrl-C.

    Raises:
        WrongAnswer: the served model did not answer as the native one.
        RolloutWentWrong: a broken version was not rolled back, or a sound one was.
    """
    folder.mkdir(parents=True, exist_ok=True)
    folder = folder.resolve()
    rows = _write_data(folder / CSV)
    watch.note(f"1. Data: {folder / CSV}, {rows} rows (breast cancer, Wisconsin; from scikit-learn).")
    if not (folder / FILE).exists():
        done = initialise(folder, Data(path=str(folder / CSV)), target=TARGET, positive="malignant", name="tumour")
        watch.note(f"2. Project: {done.path}; {len(done.columns)} inputs, a {done.task} task.")
    else:
        watch.note(f"2. Project: {folder / FILE}, as it is.")
    root = state_of(folder)
    with opened(folder) as registry, train_lock(root):
        prepared = prepare(folder, watch=watch)
        settings = settings_of(prepared.project.search, budget=budget, trials=None)
        made = by_search(prepared, settings, watch=watch, stop=threading.Event())
        trained = publish(registry, prepared, made, command=command_line(), watch=watch)
    _tell(trained, watch)
    deploy(folder, trained.version, reason="mainstay demo")
    watch.note(f"4. Deployed: {trained.version}.")
    with background(folder, port=port if port_is_free("127.0.0.1", port) else 0, rollouts=True) as server:
        _ask(server, prepared, made, watch)
        broken, sound = roll_out(prepared, trained, server, watch)
        watch.note("8. Look at:")
        watch.note(f"   the report       {trained.report}")
        watch.note(f"   a page to try it {server.url}/")
        watch.note(f"   the API          {server.url}/docs  (and /openapi.json)")
        watch.note(f"   its metrics      {server.url}/metrics")
        watch.note(f"   what happened    cd {folder} && mainstay events {trained.version.partition(':')[0]}")
        if not once:
            watch.note("Serving until Ctrl-C.")
            until_interrupted(server.lives)
            server.check()
        return Demonstrated(
            folder=str(folder),
            version=trained.version,
            url=server.url,
            asked=ASKED,
            report=trained.report,
            rolled_back=broken,
            rolled_out=sound,
        )


def _write_data(path: Path) -> int:
    from sklearn.datasets import load_breast_cancer  # noqa: PLC0415 - only the demo needs it

    bunch: Any = load_breast_cancer(as_frame=True)
    frame = bunch.data.assign(**{TARGET: np.array(["malignant", "benign"])[bunch.target]})
    frame.to_csv(path, index=False)
    return len(frame)


def _tell(trained: Trained, watch: Watcher) -> None:
    metrics = ", ".join(
        f"{name} {found['value']:.3f} ({found['low']:.3f} to {found['high']:.3f})"
        for name, found in trained.metrics.items()
        if name in ("roc_auc", "accuracy", "recall") and found["low"] is not None
    )
    watch.note(f"3. Trained: {trained.version}, {trained.description}, served as {trained.format}.")
    watch.note(f"   On {trained.test_rows} rows that no search saw: {metrics}.")
    for gate in trained.gates:
        watch.note(f"   Gate {'passed' if gate['passed'] else 'not passed'}: {gate['reason']}")
    difference = trained.parity["largest_difference"]
    watch.note(
        f"   The package answers as the native model: {trained.parity['rows']} rows, "
        f"{trained.parity['label_disagreements']} labels differ, largest difference {difference:.1e}."
    )


def _ask(server: Running, prepared: Prepared, made: Made, watch: Watcher) -> None:
    """Sends real requests, and holds the answers beside those of the model that was trained in this process."""
    chosen = prepared.test[np.linspace(0, len(prepared.test) - 1, ASKED).astype(np.intp)]
    native = made.contender.answer(prepared.cells.rows(chosen))
    assert native.probabilities is not None
    assert native.labels is not None
    frame = prepared.table.frame.iloc[chosen]
    labels = prepared.signature.labels
    watch.note(f"5. Asked over HTTP: POST {server.url}/predict")
    watch.note(f"   {'row':>5}  {'served answer':<14} {'probability':>12}  {'native model':>12}  truth")
    for place, (row, record) in enumerate(zip(chosen.tolist(), frame.to_dict("records"), strict=True)):
        truth = record.pop(TARGET)
        answer = _post(f"{server.url}/predict", {str(name): float(value) for name, value in record.items()})
        label, expected = answer["prediction"], float(native.probabilities[place, native.labels[place]])
        found = float(answer["probabilities"][label])
        watch.note(f"   {row:>5}  {label:<14} {found:>12.9f}  {expected:>12.9f}  {truth}")
        if label != labels[int(native.labels[place])] or abs(found - expected) > TOLERANCE:
            raise WrongAnswer(f"Row {row}: the server says {label} ({found}), the native model {expected}.")


def _post(url: str, body: dict[str, float]) -> dict[str, Any]:
    request = urllib.request.Request(  # noqa: S310 - http, of our own server
        url, data=json.dumps(body).encode(), headers={"content-type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310
        found: dict[str, Any] = json.loads(answer.read())
    return found
