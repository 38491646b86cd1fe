"""Which models an API key is for: names, in which "*" stands for any characters."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache

EVERY = "*"


def covers(models: Iterable[str], name: str) -> bool:
    """Whether one of the names with stars is that of a model."""
    return any(_pattern(each).fullmatch(name) for each in models)


@lru_cache(maxsize=1024)
def _pattern(models: str) -> re.Pattern[str]:
    return re.compile(".*".join(map(re.escape, models.split(EVERY))), re.DOTALL)
