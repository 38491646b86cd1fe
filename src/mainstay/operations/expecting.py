"""Where somebody expects a name to be, before he moves it: what he decided by must still hold."""

from __future__ import annotations

from mainstay.registry.refs import BadName
from mainstay.registry.store import Registry

NOWHERE = "none"


def expected(registry: Registry, text: str, model: str) -> str | None:
    """The version that a text spells, as "credit:1"; None for "none".

    Raises:
        BadName: it is one of another model. VersionNotFound, ModelNotFound.
    """
    if text == NOWHERE:
        return None
    version = registry.version(text)
    if version.model != model:
        raise BadName(f"{version.ref} is no version of {model}: expect one of its own, or {NOWHERE!r}.")
    return version.ref
