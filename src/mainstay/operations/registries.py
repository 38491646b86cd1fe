"""Where a project's registry is: the one place that chooses between this folder and other machines."""

from __future__ import annotations

from pathlib import Path

from mainstay.operations.home import state_of
from mainstay.project import FILE, load
from mainstay.registry.places import is_url
from mainstay.registry.store import Registry

WHERE = "[registry] url"


def place_of(folder: Path) -> tuple[Path | str, Path | str | None]:
    """The location and the blobs of a project's registry, as `Registry.open` takes them. Raises ProjectError."""
    said = load(folder).registry if (folder / FILE).exists() else None
    if said is None or said.blobs is None:  # which a url needs, as the project file was checked for
        return state_of(folder), None
    return said.url or state_of(folder), said.blobs if is_url(said.blobs) else folder / said.blobs


def opened(folder: Path, create: bool = True) -> Registry:
    """The registry of a project's folder, as [registry] in its project file says; without one, in its .mainstay.

    Raises:
        NoRegistry: there is none, and `create` is false.
        ProjectError, and as `Registry.open`.
    """
    location, blobs = place_of(folder)
    return Registry.open(location, create, blobs=blobs, where=WHERE)
