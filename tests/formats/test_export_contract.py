"""What every exported graph keeps to: the specification, the same bytes, the shapes, a reason where there is none."""

from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from exporting import answers, boundary_rows, data, session
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.svm import SVC

from examples import examples
from mainstay.errors import MainstayError
from mainstay.models.formats.export import CannotExport, to_onnx
from mainstay.models.formats.graph import ML, ML_OPSET, OPSET, Graph, Output
from mainstay.models.formats.trees import LEQ, LT, MEMBER, Tree, write_sum

SCRIPT = """
import hashlib, sys
sys.path.insert(0, sys.argv[1])
from exporting import data
from sklearn.ensemble import *
from sklearn.linear_model import LogisticRegression
import lightgbm, xgboost
from mainstay.models.formats.export import to_onnx
X, y = data("multiclass", n=200)
few = {"n_estimators": 4, "random_state": 0}
members = [("f", RandomForestClassifier(**few)), ("h", HistGradientBoostingClassifier(max_iter=3, random_state=0)),
           ("x", xgboost.XGBClassifier(n_jobs=1, **few)),
           ("l", lightgbm.LGBMClassifier(n_jobs=1, verbose=-1, deterministic=True, **few)), ("r", LogisticRegression())]
graph = to_onnx(VotingClassifier(members, voting="soft").fit(X, y), width=6).graph
print(hashlib.sha256(graph).hexdigest())
"""


def test_the_same_estimator_gives_the_same_bytes_in_every_process():
    here = str(Path(__file__).parent)
    digests = {
        subprocess.run(
            [sys.executable, "-c", SCRIPT, here],
            capture_output=True,
            text=True,
            check=True,
            env={"PYTHONHASHSEED": seed},
        ).stdout.strip()
        for seed in ("1", "2")
    }
    assert len(digests) == 1
    assert len(digests.pop()) == 64


@pytest.mark.parametrize("kind", [RandomForestClassifier, HistGradientBoostingClassifier, LogisticRegression, SVC])
def test_graphs_keep_to_the_specification_and_the_contract(kind):
    X, y = data("binary")
    exported = to_onnx(kind().fit(X, y), width=6)
    model = onnx.load_model_from_string(exported.graph)
    onnx.checker.check_model(model, full_check=True)
    assert {entry.domain: entry.version for entry in model.opset_import} == {"": OPSET, ML: ML_OPSET}
    run = session(exported.graph)
    (features,) = run.get_inputs()
    assert (features.name, features.shape[1]) == ("features", 6)
    assert features.type == {"float32": "tensor(float)", "float64": "tensor(double)"}[exported.dtype]
    found = answers(exported, X[:7])
    if "probabilities" in found:
        assert found["probabilities"].shape == (7, 2)
    if "label" in found:
        assert (found["label"].shape, found["label"].dtype) == ((7,), np.int64)


def test_thresholds_are_the_values_at_which_the_answer_changes():
    X, y = data("binary")
    exported = to_onnx(HistGradientBoostingClassifier(max_iter=1, max_leaf_nodes=2).fit(X, y), width=6)
    ((column, (point,)),) = exported.thresholds.items()
    at, above = np.zeros((1, 6)), np.zeros((1, 6))
    at[0, column], above[0, column] = point, np.nextafter(point, np.inf)
    assert not np.array_equal(answers(exported, at)["probabilities"], answers(exported, above)["probabilities"])
    assert len(boundary_rows(exported, X)) == 6


class Unheard(LogisticRegression):
    """A class of the user's own, which may answer in its own way."""


@pytest.mark.parametrize(
    ("estimator", "width", "reason"),
    [
        (Unheard(), 6, "Unheard is not among"),
        (KNeighborsClassifier(), 6, "nearest neighbours"),
        (LogisticRegression(), 5, "takes 6 features, not 5"),
    ],
    ids=["subclass", "neighbours", "width"],
)
def test_refusals_are_one_sentence_with_the_reason(estimator, width, reason):
    X, y = data("binary")
    with pytest.raises(CannotExport, match=reason) as caught:
        to_onnx(estimator.fit(X, y), width=width)
    assert isinstance(caught.value, MainstayError)
    assert caught.value.reason == str(caught.value)


VALUES = st.sampled_from([-2.0, -1.0, -0.5, 0.0, 0.1, 1.0, 2.0, 3.0, 1e-310, 0.1 + 1e-17, 64.0, 65.0, 1e300])


@st.composite
def trees(draw):
    """A random tree over two columns of any values and a third one of whole numbers, split by sets."""
    nodes = draw(st.integers(1, 7))
    feature, threshold, mode, yes, no, missing, members = [], [], [], [], [], [], []
    free: list[tuple[list[int], int]] = []
    leaves = 0
    mode_of_numbers = draw(st.sampled_from([LEQ, LT]))
    for node in range(nodes):
        if node:  # hang this node below one that has a branch to give
            side, parent = free.pop(draw(st.integers(0, len(free) - 1)))
            side[parent] = node
        column = draw(st.integers(0, 2))
        feature.append(column)
        mode.append(MEMBER if column == 2 else mode_of_numbers)
        threshold.append(0.0 if column == 2 else draw(VALUES))
        if column == 2:
            members.append(tuple(map(float, draw(st.sets(st.integers(-1, 130), max_size=5)))))
        missing.append(draw(st.booleans()))
        yes.append(0)
        no.append(0)
        free += [(yes, node), (no, node)]
    for side, parent in free:
        side[parent] = ~leaves
        leaves += 1
    return Tree(
        feature=np.array(feature),
        threshold=np.array(threshold),
        mode=np.array(mode, dtype=np.uint8),
        yes=np.array(yes),
        no=np.array(no),
        missing_yes=np.array(missing),
        members=tuple(members),
        leaves=np.array(draw(st.lists(st.floats(-9, 9), min_size=leaves, max_size=leaves))),
    )


def walk(tree: Tree, row: np.ndarray) -> float:
    """The leaf of a row, as the words of the specification have it."""
    sets = dict(zip(np.flatnonzero(tree.mode == MEMBER).tolist(), tree.members, strict=True))
    node = 0
    while node >= 0:
        value = row[tree.feature[node]]
        if math.isnan(value):
            passed = tree.missing_yes[node]
        elif tree.mode[node] == MEMBER:
            passed = value in sets[node]
        else:
            passed = value < tree.threshold[node] or (tree.mode[node] == LEQ and value == tree.threshold[node])
        node = int((tree.yes if passed else tree.no)[node])
    return float(tree.leaves[~node])


@settings(max_examples=examples(150), deadline=None)
@given(
    forest=st.lists(trees(), min_size=1, max_size=4),
    cells=st.lists(st.tuples(VALUES | st.just(math.nan), VALUES, st.integers(-1, 130)), min_size=1, max_size=6),
)
def test_a_written_ensemble_is_the_sum_of_its_trees(forest, cells):
    rows = np.array(cells, dtype=np.float64)
    graph = Graph()
    features = graph.features("features", 3, "float64")
    total = write_sum(graph, features.name, forest, targets=1, dtype="float64")
    run = session(graph.model([Output(total, "value", "float64", ("rows", 1))]))
    (found,) = run.run(["value"], {"features": rows})
    expected = [sum((walk(tree, row) for tree in forest), 0.0) for row in rows]
    assert found.ravel().tolist() == pytest.approx(expected, abs=1e-13)
