"""A registered version in this process."""

from __future__ import annotations

from pathlib import Path

from mainstay.models.runtime import Model
from mainstay.operations.home import state_of
from mainstay.operations.trust import trusted_types
from mainstay.registry.store import Registry


def load(folder: Path, ref: str) -> Model:
    """The model of a version, checked and ready. Raises NoRegistry, VersionNotFound and its like, PackageCorrupt,
    GoldenMismatch, UntrustedTypes."""
    with Registry.open(state_of(folder), create=False) as registry:
        model = Model.load(registry.package(registry.version(ref)), trusted=trusted_types(folder))
    model.check_golden()
    return model
