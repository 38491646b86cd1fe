"""Each line of docs/reference/formats.md, run; with MAINSTAY_WRITE_MATRIX=1 the page is written anew."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
from pathlib import Path

import pytest
from libraries import need

for library in ("catboost", "tensorflow", "tf2onnx", "torch"):
    need(library)

import matrix  # noqa: E402 - needs the libraries
import matrix_cases  # noqa: E402
import matrix_class  # noqa: E402
import matrix_keras  # noqa: E402
import matrix_torch  # noqa: E402

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "formats.md"
WRITES = os.environ.get("MAINSTAY_WRITE_MATRIX") == "1"
CASES = sorted(
    (*matrix_cases.cases(), *matrix_class.cases(), *matrix_keras.cases(), *matrix_torch.cases()),
    key=lambda case: (case.format, case.model),
)
LINES: list[matrix.Line] = []
VERSIONS = ("onnxruntime", "scikit-learn", "xgboost-cpu", "lightgbm", "catboost", "keras", "tensorflow-cpu", "torch")
pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.mark.usefixtures("offline")
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_matrix(case, tmp_path):
    line = matrix.found(case, tmp_path, repeats=matrix.REPEATS if WRITES else 3)
    assert line.difference <= 1e-5
    LINES.append(line)


def test_matrix_is_published():
    """Runs last: every line that was run stands in the page, with what it is served as."""
    if len(LINES) < len(CASES):
        pytest.skip("not every line was run, or one failed")
    if WRITES:
        named = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in VERSIONS)
        PAGE.write_text(matrix.page(LINES, _machine(), named))
    published = re.findall(r"^\| ([^|]+) \| ([^|]+) \| ([^|]+) \| yes \| ([^|]+) \|", PAGE.read_text(), re.MULTILINE)
    ran = [(line.format, line.model, line.task, matrix._runs_as(line.served_as)) for line in LINES]
    assert published == ran


def _machine() -> str:
    words = Path("/proc/cpuinfo").read_text().splitlines()
    told = [line.partition(":")[2].strip() for line in words if "model name" in line]
    cpu = told[0] if told else platform.machine()
    return f"{os.cpu_count()} cores of {cpu}, Python {platform.python_version()}"
