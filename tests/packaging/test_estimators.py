"""A few of scikit-learn's estimators, each served in another way; tests/heavy/test_every_estimator.py has them all."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.compose import TransformedTargetRegressor
from sklearn.ensemble import AdaBoostClassifier
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import FixedThresholdClassifier
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC
from sklearn.tree import DecisionTreeClassifier

import estimators
from estimators import Case

pytestmark = pytest.mark.filterwarnings("ignore")

TREES = ("sklearn.metrics._dist_metrics.EuclideanDistance64", "sklearn.neighbors._kd_tree.KDTree")
EXPECTED = {
    "LogisticRegression multiclass": ("ONNX", ()),
    "CalibratedClassifierCV binary": ("ONNX", ()),
    "StackingRegressor regression": ("ONNX", ()),
    "GridSearchCV multiclass": ("ONNX", ()),
    "AdaBoostClassifier binary": ("ONNX", ()),
    "AdaBoostClassifier multiclass": ("ONNX", ()),
    "TunedThresholdClassifierCV binary": ("ONNX", ()),
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


LINEAR = LogisticRegression()
WRAPPED = [
    *(
        Case("FixedThresholdClassifier", "binary", FixedThresholdClassifier(inner, threshold=at, pos_label=positive))
        for inner in (LINEAR, LinearSVC(random_state=0), DecisionTreeClassifier(max_depth=3, random_state=0))
        for at in ("auto", 0.3)
        for positive in (None, 0, 1)
    ),
    Case(
        "FixedThresholdClassifier",
        "binary",
        FixedThresholdClassifier(LINEAR, threshold=-0.2, response_method="decision_function"),
    ),
    Case("AdaBoostClassifier", "multiclass", AdaBoostClassifier(LINEAR, n_estimators=5, random_state=0)),
    Case("AdaBoostClassifier", "binary", AdaBoostClassifier(n_estimators=2, random_state=0)),
    Case("TransformedTargetRegressor", "regression", TransformedTargetRegressor(Ridge(), transformer=StandardScaler())),
    *(
        Case("TransformedTargetRegressor", "regression", TransformedTargetRegressor(Ridge(), func=f, inverse_func=g))
        for f, g in ((np.log, np.exp), (np.log1p, np.expm1), (np.sqrt, np.square), (np.square, np.sqrt))
    ),
]


@pytest.mark.parametrize("case", WRAPPED, ids=lambda case: str(case.model))
def test_a_wrapped_estimator_is_written_as_onnx(case):
    assert estimators.found(case).served == "ONNX"


def test_a_target_with_an_inverse_that_is_not_known_is_kept_as_it_is():
    model = TransformedTargetRegressor(Ridge(), func=np.arcsinh, inverse_func=np.sinh)
    found = estimators.found(Case("TransformedTargetRegressor", "regression", model))
    assert (found.served, "inverse is 'sinh'" in found.why) == ("skops", True)
