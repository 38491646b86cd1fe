"""What all tests share: where the real data sets are."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import settings

# A busy machine is no failure: the time limit of a whole test is pytest's.
settings.register_profile("mainstay", deadline=None)
settings.load_profile("mainstay")

BESIDE = Path(__file__).resolve().parents[1].parent / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data() -> Callable[[str], Path]:
    """Gives the path of a real data set, or skips the test, saying so, where it is absent."""
    folder = Path(os.environ.get("MAINSTAY_TEST_DATA", BESIDE))

    def find(name: str) -> Path:
        path = folder / name
        if not path.exists():
            pytest.skip(f"the data set {name} is not here: set MAINSTAY_TEST_DATA to the folder that holds it")
        return path

    return find
