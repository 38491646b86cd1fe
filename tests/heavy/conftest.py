"""What the tests with heavy libraries share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from threadpoolctl import threadpool_limits

from python_classes import environments, imported, index, offline, project

__all__ = ["environments", "imported", "index", "offline", "project"]


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    with threadpool_limits(limits=1):
        yield
