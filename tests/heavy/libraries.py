"""The libraries that only `make test-formats` has."""

from __future__ import annotations

import importlib
import os
import warnings
from types import ModuleType

import pytest


def need(name: str) -> ModuleType:
    """The library, or the test module is skipped, saying so; with MAINSTAY_REQUIRE_FORMATS=1 its absence is an error.

    What a library warns of while it is imported is its own matter.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return importlib.import_module(name)
        except ModuleNotFoundError:
            if os.environ.get("MAINSTAY_REQUIRE_FORMATS") == "1":
                raise
    pytest.skip(f"{name} is not installed: make test-formats", allow_module_level=True)
