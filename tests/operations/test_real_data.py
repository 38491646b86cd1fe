"""Real files, from the data to answers over HTTP: served as ONNX, and as the native pipeline answers."""

from __future__ import annotations

import json
import threading
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from loan_projects import changed

from mainstay.models.signature import Signature
from mainstay.operations.background import background
from mainstay.operations.deploying import deploy
from mainstay.operations.home import state_of
from mainstay.operations.initialising import initialise, source_of
from mainstay.operations.making import by_search
from mainstay.operations.preparing import Prepared, prepare
from mainstay.operations.publishing import publish
from mainstay.operations.watching import Silent
from mainstay.registry.store import Registry
from mainstay.training.kinds import number

ASKED = 200
SETS: dict[str, dict[str, Any]] = {
    "credit.csv": {"target": "class", "candidates": ("lightgbm", "random_forest")},
    "adult.csv.gz": {"target": "class", "candidates": ("lightgbm",)},
    "bike_sharing.csv": {"target": "cnt", "candidates": ("hist_gradient_boosting",)},
    "sms_spam.tsv": {"target": "label", "candidates": ("linear",), "columns": "label,text"},
}
LATER = [pytest.param(name, marks=() if name == "credit.csv" else pytest.mark.long) for name in SETS]
"""One of them at once, the others in `make thorough`."""


def records(prepared: Prepared, rows: Any, signature: Signature) -> list[dict[str, Any]]:
    """Whole records as a person has them: set-aside columns and tokens for missing values and all."""
    types = {column.name: column.type for column in signature.inputs}
    found = []
    for record in prepared.table.frame.iloc[rows].to_dict("records"):
        row: dict[str, Any] = {}
        for name, value in record.items():
            if name == prepared.project.target:
                continue
            known = None if types.get(str(name)) != "number" or value is None else number(value)
            row[str(name)] = value if known is None else known
        found.append(row)
    return found


@pytest.mark.data
@pytest.mark.parametrize("name", LATER)
def test_a_real_file_is_served_as_the_native_pipeline_answers(
    name: str, tmp_path: Path, shared_data: Callable[[str], Path]
) -> None:
    words = dict(SETS[name])
    columns = words.pop("columns", None)
    source = source_of(str(shared_data(name)), header=columns is None, columns=columns)
    done = initialise(tmp_path, source, target=words["target"])
    if name == "sms_spam.tsv":
        assert done.rows == 5574
    if name == "bike_sharing.csv":
        assert {"instant", "casual", "registered"} <= set(done.left_out)
    changed(tmp_path, search={"candidates": words["candidates"], "folds": 2, "trials": 2})
    prepared = prepare(tmp_path, watch=Silent())
    made = by_search(prepared, prepared.project.search, watch=Silent(), stop=threading.Event())
    with Registry.open(state_of(tmp_path)) as registry:
        trained = publish(registry, prepared, made, command="a test", watch=Silent(), explain=False)
    assert (trained.passed, trained.format, trained.reason) == (True, "onnx", "")
    assert trained.train_rows + trained.test_rows == done.rows
    straddling(prepared)
    deploy(tmp_path, trained.version)
    rows = prepared.test[np.linspace(0, len(prepared.test) - 1, ASKED).astype(np.intp)]
    native = made.contender.answer(prepared.cells.rows(rows))
    with background(tmp_path) as server:
        answer = post(server.url, {"inputs": records(prepared, rows, prepared.signature)})
    if native.values is not None:
        assert np.abs(np.array(answer["prediction"]) - native.values).max() <= 1e-5 * np.abs(native.values).max()
        return
    assert native.labels is not None
    assert native.probabilities is not None
    labels = prepared.signature.labels
    assert answer["prediction"] == [labels[index] for index in native.labels.tolist()]
    told = np.array([[row[str(label)] for label in labels] for row in answer["probabilities"]])
    assert np.abs(told - native.probabilities).max() <= 1e-5


def straddling(prepared: Prepared) -> None:
    """No row that is held out is among the training rows too."""
    frame = prepared.table.frame[list(prepared.project.columns)].astype(str)
    keys = frame.agg("\x1f".join, axis=1)
    assert set(keys[prepared.test]).isdisjoint(keys[prepared.train])


def post(url: str, body: dict[str, Any]) -> dict[str, Any]:
    with urllib.request.urlopen(f"{url}/predict", json.dumps(body).encode(), timeout=60) as answer:
        found: dict[str, Any] = json.loads(answer.read())
    return found
