"""Two PMML evaluators of others, which know nothing of each other: JPMML and PMML4S. Tools of the tests alone."""

from __future__ import annotations

import math
import shutil
import warnings
from pathlib import Path

import pytest


def needs_java():
    """Skips where Java or an evaluator is absent."""
    if shutil.which("java") is None:
        pytest.skip("Java is not here, and the PMML evaluators run on it")
    pytest.importorskip("pypmml", reason="pypmml is not installed", exc_type=ImportError)
    pytest.importorskip("jpmml_evaluator", reason="jpmml_evaluator is not installed", exc_type=ImportError)


def jpmml(path: Path, rows):
    """JPMML's answers, a dictionary a row."""
    from jpmml_evaluator import make_evaluator

    evaluator = make_evaluator(str(path), backend="py4j").verify()
    return [dict(evaluator.evaluate({k: v for k, v in row.items() if v is not None})) for row in rows]


def pmml4s(path: Path, rows):
    """PMML4S's answers, a dictionary a row. Dictionaries go in: its way for frames rounds numbers."""
    from pypmml import Model

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        model = Model.fromFile(str(path))
        return [dict(model.predict({k: v for k, v in row.items() if v is not None})) for row in rows]


def close(found, expected, tolerance=1e-9):
    return math.isclose(float(found), float(expected), rel_tol=tolerance, abs_tol=tolerance)
