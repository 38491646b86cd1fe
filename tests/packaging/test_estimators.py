"""A few of scikit-learn's estimators, each served in another way; tests/heavy/test_every_estimator.py has them all."""

from __future__ import annotations

import pytest

import estimators

pytestmark = pytest.mark.filterwarnings("ignore")

TREES = ("sklearn.metrics._dist_metrics.EuclideanDistance64", "sklearn.neighbors._kd_tree.KDTree")
EXPECTED = {
    "LogisticRegression multiclass": ("ONNX", ()),
    "CalibratedClassifierCV binary": ("ONNX", ()),
    "StackingRegressor regression": ("ONNX", ()),
    "GridSearchCV multiclass": ("ONNX", ()),
    "NearestCentroid binary": ("skops", ()),
    "KernelRidge regression": ("skops", ()),
    "GaussianProcessClassifier multiclass": ("skops", ()),
    "GaussianProcessRegressor regression": ("skops", ()),
    "KNeighborsClassifier binary": ("skops", TREES),
    "Pipeline(PCA, forest) regression": ("skops", ("sklearn.tree._tree.Tree",)),
    "MultiOutputClassifier binary": ("refused", ()),
    "MultiTaskLasso regression": ("refused", ()),
}
CASES = {case.id: case for case in estimators.cases()}


@pytest.mark.parametrize("name", EXPECTED)
def test_an_estimator_is_served_or_refused_with_a_reason(name):
    found = estimators.found(CASES[name])
    assert (found.served, found.trust) == EXPECTED[name]
    assert bool(found.why) == (found.served != "ONNX")
    if found.served == "refused":
        assert "answers several targets at once: register one model for each" in found.why
