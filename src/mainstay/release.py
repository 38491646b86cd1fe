"""Which Mainstay this is."""

from __future__ import annotations

from functools import cache


@cache
def release() -> str:
    """The version of Mainstay that is installed."""
    from importlib.metadata import version  # noqa: PLC0415 - takes as long to load as many a command does to run

    return version("mainstay")
