"""What a worker and a host import, and so what a server needs installed."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

HEAVY = ("pandas", "sklearn", "scipy", "lightgbm", "xgboost", "pyarrow", "matplotlib", "optuna", "onnx", "skops")
NOT_OURS = ("sqlalchemy", "alembic", "typer", "rich", "click")


@pytest.mark.parametrize("module", ["mainstay.serving.worker", "mainstay.serving.host"])
def test_what_answers_imports_neither_training_nor_the_database(module):
    script = f"import json, sys, {module}; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    loaded = set(json.loads(done.stdout))
    assert module in loaded
    assert not loaded & {*HEAVY, *NOT_OURS}


def test_the_agent_needs_no_training_stack():
    script = (
        "import json, sys, mainstay.serving.supervisor, mainstay.registry.store; print(json.dumps(sorted(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert not set(json.loads(done.stdout)) & set(HEAVY)
