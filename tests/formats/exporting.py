"""What the tests of exports share: running a graph, rows where exports go wrong, and the native answers."""

from __future__ import annotations

import numpy as np
import onnxruntime

from mainstay.models.formats.export import Exported, to_onnx
from mainstay.models.golden import largest_difference

TREES = 1e-12
BOUND = 1e-5


def session(graph: bytes) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])


def answers(exported: Exported, rows: np.ndarray) -> dict[str, np.ndarray]:
    """The outputs of the graph by name; features are cast as the encoder casts them."""
    run = session(exported.graph)
    names = [output.name for output in run.get_outputs()]
    with np.errstate(over="ignore"):
        features = rows.astype(exported.dtype)
    return dict(zip(names, run.run(names, {"features": features}), strict=True))


def boundary_rows(exported: Exported, rows: np.ndarray, *, at_most: int = 40, seed: int = 0) -> np.ndarray:
    """Rows with one feature at a threshold, or the next double or float32 to either side of it."""
    random = np.random.default_rng(seed)
    found = []
    for column, points in exported.thresholds.items():
        for point in random.choice(points, min(at_most, len(points)), replace=False):
            near = np.float32(point)
            for value in (
                point,
                np.nextafter(point, np.inf),
                np.nextafter(point, -np.inf),
                float(near),
                float(np.nextafter(near, np.float32(np.inf))),
                float(np.nextafter(near, np.float32(-np.inf))),
            ):
                row = rows[random.integers(len(rows))].copy()
                row[column] = value
                found.append(row)
    return np.array(found).reshape(-1, rows.shape[1])


def assert_parity(estimator, rows: np.ndarray, *, bound: float, exported: Exported | None = None) -> Exported:
    """The graph answers these double-precision rows as the estimator does, also one by one."""
    exported = exported or to_onnx(estimator, width=rows.shape[1])
    found = answers(exported, rows)
    native = (
        estimator.predict_proba(rows)
        if "probabilities" in found
        else (None if "label" in found else np.ravel(estimator.predict(rows)))
    )
    if "value" in found:
        assert_close(found["value"].ravel(), native, bound)
    if "probabilities" in found:
        assert_close(found["probabilities"], native, bound)
    if hasattr(estimator, "classes_"):
        assert hasattr(estimator, "predict_proba") is ("probabilities" in found)
        index = found["label"] if "label" in found else np.argmax(found["probabilities"], axis=1)
        wrong = np.flatnonzero(np.asarray(estimator.classes_)[index] != estimator.predict(rows))
        assert not len(wrong), f"{len(wrong)} labels differ, the first in row {rows[wrong[0]].tolist()}"
    for position in range(0, len(rows), max(1, len(rows) // 8)):
        alone = answers(exported, rows[position : position + 1])
        for name, tensor in alone.items():
            assert_close(tensor, found[name][position : position + 1], max(bound, 1e-12))
    return exported


def assert_close(found: np.ndarray, expected: np.ndarray, bound: float) -> None:
    worst = largest_difference(found, expected)
    assert worst <= bound, f"{worst:.3g} away from the native answer"


def data(task: str, *, n: int = 400, missing: float = 0.0, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Rows of six columns (continuous, tenths, codes 0 to 4, float32 values, many zeros, noise) and a target."""
    random = np.random.default_rng(seed)
    X = random.normal(size=(n, 6))
    X[:, 1] = np.round(X[:, 1], 1)
    X[:, 2] = random.integers(0, 5, n)
    X[:, 3] = X[:, 3].astype(np.float32)
    X[random.random(n) < 0.3, 4] = 0.0
    score = X[:, 0] + np.sin(3 * X[:, 1]) + 0.5 * X[:, 2] - X[:, 4] + random.normal(size=n) * 0.3
    if missing:
        X[random.random(X.shape) < missing] = np.nan
    if task == "regression":
        return X, score - score.min() + 0.5
    return X, np.digitize(score, np.quantile(score, [0.5] if task == "binary" else [0.33, 0.66]))
