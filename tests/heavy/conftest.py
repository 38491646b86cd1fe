"""What the tests with heavy libraries share."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from threadpoolctl import threadpool_limits

from python_classes import environments, imported, index, offline, project

sys.path.append(str(Path(__file__).parents[1] / "serving"))  # for its live servers

__all__ = ["environments", "imported", "index", "offline", "project"]


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    with threadpool_limits(limits=1):
        yield
