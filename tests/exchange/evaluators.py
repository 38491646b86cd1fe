"""Two PMML evaluators of others, which know nothing of each other: JPMML and PMML4S. Tools of the tests alone."""

from __future__ import annotations

import math
import os
import shutil
import warnings
from functools import cache
from pathlib import Path

import pytest

OPTIONS = ["-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto"]
"""For a Java that lives for seconds beside one test process: no threads that collect or compile for the long run."""


def needs_java():
    """Skips where Java or an evaluator is absent."""
    if shutil.which("java") is None:
        pytest.skip("Java is not here, and the PMML evaluators run on it")
    pytest.importorskip("pypmml", reason="pypmml is not installed", exc_type=ImportError)
    pytest.importorskip("jpmml_evaluator", reason="jpmml_evaluator is not installed", exc_type=ImportError)


@cache
def _java_of_jpmml():
    """JPMML's Java. The package's own way to start one leaves it behind when the process of the tests ends."""
    from jpmml_evaluator import _classpath
    from jpmml_evaluator.py4j import Py4JBackend
    from py4j.java_gateway import JavaGateway

    gateway = JavaGateway.launch_gateway(
        classpath=os.pathsep.join(_classpath(user_classpath=[])), javaopts=OPTIONS, die_on_exit=True
    )
    return Py4JBackend(gateway)


@cache
def _java_of_pmml4s():
    """PMML4S's Java, which ends with the process of the tests too."""
    from pypmml import PMMLContext

    return PMMLContext.getOrCreate(java_opts=OPTIONS)


def jpmml(path: Path, rows):
    """JPMML's answers, a dictionary a row."""
    from jpmml_evaluator import make_evaluator

    evaluator = make_evaluator(str(path), backend=_java_of_jpmml()).verify()
    return [dict(evaluator.evaluate({k: v for k, v in row.items() if v is not None})) for row in rows]


def pmml4s(path: Path, rows):
    """PMML4S's answers, a dictionary a row. Dictionaries go in: its way for frames rounds numbers."""
    from pypmml import Model

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        _java_of_pmml4s()
        model = Model.fromFile(str(path))
        return [dict(model.predict({k: v for k, v in row.items() if v is not None})) for row in rows]


def close(found, expected, tolerance=1e-9):
    return math.isclose(float(found), float(expected), rel_tol=tolerance, abs_tol=tolerance)
