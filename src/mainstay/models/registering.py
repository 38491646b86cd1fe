"""From a model that somebody trained himself to a package: whatever it is, by the module that knows its kind."""

from __future__ import annotations

from typing import Any

from mainstay.models.formats.foreign.protocol import Imported
from mainstay.models.formats.objects import Given, format_of_object


def draft_of(model: Any, given: Given) -> Imported:
    """The package of a model. Raises as `ObjectFormat.draft` says."""
    return format_of_object(model).draft(model, given)
