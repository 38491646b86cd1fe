"""Real data: what each technique saves where, and that the loss that is stated is the one that is had."""

from __future__ import annotations

import gzip
import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from loan_projects import changed
from threadpoolctl import threadpool_limits

from mainstay.models.compressing import graph_of, model_of
from mainstay.models.formats.compression.forests import rounds_of
from mainstay.models.runtime import Model
from mainstay.operations.compressing import compress
from mainstay.operations.initialising import initialise, source_of
from mainstay.operations.preparing import prepare
from mainstay.operations.registries import opened
from mainstay.operations.training import train
from mainstay.operations.watching import Silent
from mainstay.training.metrics import measure, scored
from mainstay.training.splitting import halved, held_out
from mainstay.training.values import cells_of

SETS: dict[str, dict[str, Any]] = {
    "credit.csv": {
        "target": "class",
        "candidate": "random_forest",
        "techniques": ["prune_trees", "float16"],
        "max_loss": 0.03,
        "share": 0.8,
    },
    "adult.csv.gz": {
        "target": "class",
        "candidate": "lightgbm",
        "techniques": ["prune_trees"],
        "max_loss": 0.01,
        "share": 0.8,
    },
    "bike_sharing.csv": {
        "target": "cnt",
        "candidate": "hist_gradient_boosting",
        "techniques": ["prune_trees"],
        "max_loss": 0.02,
        "share": 0.9,
    },
    "sms_spam.tsv": {
        "target": "label",
        "candidate": "linear",
        "techniques": ["quantize"],
        "columns": "label,text",
        "share": 0.5,
    },
}
LATER = [pytest.param(name, marks=() if name == "credit.csv" else pytest.mark.long) for name in SETS]
"""One of them at once, the others in `make thorough`."""


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    with threadpool_limits(limits=1):
        yield


@pytest.mark.data
@pytest.mark.parametrize("name", LATER)
def test_a_real_model_is_made_smaller_at_the_stated_loss(
    name: str, tmp_path: Path, shared_data: Callable[[str], Path]
) -> None:
    words = SETS[name]
    columns = words.get("columns")
    data = shared_data(name)
    if data.suffix == ".gz":  # a part of it will do
        with gzip.open(data, "rt", encoding="utf-8") as file:
            lines = list(itertools.islice(file, 10_001))
        data = tmp_path / "part.csv"
        data.write_text("".join(lines), encoding="utf-8")
    initialise(tmp_path, source_of(str(data), header=columns is None, columns=columns), target=words["target"])
    changed(tmp_path, search={"candidates": (words["candidate"],), "folds": 2, "trials": 1})
    large = train(tmp_path).version
    allowed = words.get("max_loss", 0.005)
    done = compress(tmp_path, large, techniques=words["techniques"], max_loss=allowed)
    assert done.passed, done.reason
    told = done.compression
    assert told.after.bytes < words["share"] * told.before.bytes
    with opened(tmp_path, create=False) as registry:
        before, after = (registry.package(registry.version(ref)) for ref in (large, done.version))
        models = [Model.load(before), Model.load(after)]
        if words["techniques"] == ["prune_trees"]:
            assert rounds_of(graph_of(after)) <= rounds_of(graph_of(before))
        assert model_of(before, graph_of(after)).spec == models[1].spec
    # The metric of both versions on the rows that judge, from the data itself.
    prepared = prepare(tmp_path, watch=Silent())
    rule = prepared.division.rule
    if told.chosen_on:
        rule = halved(rule, prepared.table)
    rows = held_out(rule, prepared.table) & prepared.division.test
    assert int(rows.sum()) == told.loss.rows
    table, y = prepared.table.rows(rows), prepared.target.y[rows]
    found = [
        measure(
            scored(
                model.answer(cells_of(table, model.signature)),
                y,
                task=prepared.project.task,
                classes=len(model.signature.labels),
                positive=1 if prepared.positive is None else prepared.positive,
            )
        ).values[told.loss.metric]
        for model in models
    ]
    assert found == pytest.approx([told.loss.before, told.loss.after], abs=1e-12)
    assert told.loss.high is not None
    assert told.loss.high <= allowed
