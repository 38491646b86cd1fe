"""Models of other programs, as files."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from threadpoolctl import threadpool_limits


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    with threadpool_limits(limits=1):
        yield


@pytest.fixture(scope="session")
def numbers() -> tuple[np.ndarray, np.ndarray]:
    """(400, 4) numbers, a tenth of the first column missing, and three classes."""
    draw = np.random.default_rng(0)
    x = draw.normal(size=(400, 4)).round(2)
    y = (x[:, 1] + x[:, 2] > 0).astype(int) + (x[:, 3] > 0.8)
    x[draw.random(400) < 0.1, 0] = np.nan
    return x, y
