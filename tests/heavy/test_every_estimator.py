"""Every classifier and regressor of scikit-learn is registered and served, or refused with a reason.

What each is served as stands in docs/reference/scikit-learn.md; with MAINSTAY_WRITE_MATRIX=1 it is written anew.
"""

from __future__ import annotations

import os
import re
from importlib.metadata import version
from pathlib import Path

import pytest

import estimators

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "scikit-learn.md"
WRITES = os.environ.get("MAINSTAY_WRITE_MATRIX") == "1"
CASES = estimators.cases()
FOUND: dict[str, estimators.Found] = {}
pytestmark = pytest.mark.filterwarnings("ignore")


def _published() -> dict[str, tuple[str, ...]]:
    rows = re.findall(r"^\| ([^|]+) \| ([^|]+) \| ([^|]+) \|([^|]*)\|", PAGE.read_text(), re.MULTILINE)[1:]
    return {f"{name} {task}": (served, trust.strip()) for name, task, served, trust in rows}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_estimator(case):
    found = estimators.found(case)
    FOUND[case.id] = found
    if not WRITES:
        assert (found.served, _trust(found)) == _published()[case.id], found.why


def test_the_page_names_every_estimator():
    """Runs last: no line of the page is of an estimator that is no more."""
    if WRITES and len(FOUND) == len(CASES):
        PAGE.write_text(_page())
    assert list(_published()) == [case.id for case in CASES]


def _trust(found: estimators.Found) -> str:
    return " ".join(f"`{name}`" for name in found.trust)


def _page() -> str:
    lines = []
    for case in CASES:
        found = FOUND[case.id]
        why = found.why.replace("|", " ").replace("\n", " ")
        lines.append(f"| {case.name} | {case.task} | {found.served} | {_trust(found)} | {why} |")
    table = "\n".join(lines)
    return f"""# scikit-learn

What every classifier and regressor of scikit-learn {version("scikit-learn")} is served as. Each line is a test, which
fits the estimator on small plain data, registers it, loads the version as a server does, and holds its answers for
{estimators.ROWS} rows that it was not fitted on against scikit-learn's own.

```sh
make test-formats ARGS="-k every_estimator"                           # runs every line
MAINSTAY_WRITE_MATRIX=1 make test-formats ARGS="-k every_estimator"   # and writes this page
```

ONNX is taken where it answers as the model does; skops keeps the model as it is, and a host process beside the workers
answers for it. *Trust*: the types that you have to name in `trust.txt`, one a line: functions, and compiled ones
that follow the positions in their file unchecked, so that a file made to harm could read the memory of the process.

| estimator | task | served as | trust | why not ONNX |
|---|---|---|---|---|
{table}
"""
