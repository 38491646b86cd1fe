"""A registered version in this process."""

from __future__ import annotations

from pathlib import Path

from mainstay.models.runtime import Model
from mainstay.operations.operator import admitted
from mainstay.operations.registries import opened
from mainstay.operations.trust import trusted_types


def load(folder: Path, ref: str) -> Model:
    """The model of a version, checked and ready. Raises NoRegistry, VersionNotFound and its like, PackageCorrupt,
    GoldenMismatch, UntrustedTypes, NotSigned."""
    with opened(folder, create=False) as registry:
        package = admitted(folder, registry, registry.version(ref))
        model = Model.load(package, trusted=trusted_types(folder))
    model.check_golden()
    return model
