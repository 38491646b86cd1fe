"""A registered version, loaded: in this process, or, where it is code, in one of its own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mainstay.models.classes import FORMAT
from mainstay.models.package import Package
from mainstay.models.runtime import Model
from mainstay.operations.operator import admitted, allowed_here
from mainstay.operations.registries import opened
from mainstay.operations.trust import trusted_types
from mainstay.serving.asking import OwnHost


def load(folder: Path, ref: str) -> Model:
    """The model of a version, checked and ready. Raises NoRegistry, VersionNotFound and its like, PackageCorrupt,
    GoldenMismatch, UntrustedTypes, UntrustedCode, ClassFailed, NotSigned."""
    with opened(folder, create=False) as registry:
        model = loaded(folder, admitted(folder, registry, registry.version(ref)))
    model.check_golden()
    return model


def loaded(folder: Path, package: Package, types: Sequence[str] | None = None) -> Model:
    """The model of a package, as the operator lets it be loaded here; `types` stand in for those he trusts.

    A Python class answers from a process of its own, which ends with the model.

    Raises:
        PackageCorrupt, BadOperatorFile; UntrustedTypes, UntrustedCode: the operator does not trust it.
        ClassFailed, ClassEnded: a class that cannot be made, or an environment that cannot be built.
    """
    if package.spec.format == FORMAT:
        return Model(package, OwnHost(package, allowed_here(folder)))
    return Model.load(package, trusted=trusted_types(folder) if types is None else types)
