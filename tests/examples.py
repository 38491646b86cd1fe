"""How many examples a property is held against: in `make test` few, in `make thorough` many."""

from __future__ import annotations

import os

PERCENT = int(os.environ.get("MAINSTAY_TEST_EXAMPLES", "30"))
"""Of the number that a property asks for."""


def examples(number: int) -> int:
    """As many of `number` examples as this run has time for."""
    return max(1, number * PERCENT // 100)
