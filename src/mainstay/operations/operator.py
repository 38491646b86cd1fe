"""What the operator of a machine asks for; no package and no project file can loosen it."""

from __future__ import annotations

import os
import tomllib
from pathlib import Path

import msgspec

from mainstay.errors import MainstayError
from mainstay.models.package import Package
from mainstay.models.signing import checked_public_key, require
from mainstay.operations.home import state_of
from mainstay.registry.records import Version
from mainstay.registry.store import Registry

FILE = "operator.toml"
VARIABLE = "MAINSTAY_OPERATOR"


class BadOperatorFile(MainstayError):
    """The operator's file cannot be read or meant; nothing is loaded until it can."""


class Operator(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The operator's file."""

    require_signed_by: tuple[str, ...] | None = None
    """Public keys, "ed25519:…"; a version is loaded and deployed only if one of them has signed it. None: any is."""


def operator_of(folder: Path) -> Operator:
    """What the file that MAINSTAY_OPERATOR names says, else `.mainstay/operator.toml`; without either, nothing.

    Raises:
        BadOperatorFile: the file that was named is not there, or a file says what cannot be meant.
        BadKey; MissingExtra: signatures are asked for, and cannot be checked here.
    """
    named = os.environ.get(VARIABLE)
    path = Path(named) if named else state_of(folder) / FILE
    try:
        said = msgspec.convert(tomllib.loads(path.read_text(encoding="utf-8")), Operator)
    except FileNotFoundError:
        if named:
            raise BadOperatorFile(f"{path}, which {VARIABLE} names, does not exist: write it, or unset that.") from None
        return Operator()
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise BadOperatorFile(f"The operator's file {path} cannot be used: {error}.") from error
    if said.require_signed_by is not None and not said.require_signed_by:
        raise BadOperatorFile(f"require_signed_by in {path} names no key: write one, or remove the line.")
    for key in said.require_signed_by or ():
        checked_public_key(key)
    return said


class Signers:
    """The keys that the operator asks for, read anew at each call. While it runs, a server that asked once goes on
    asking: a line that was removed, or a file, is obeyed when it is started again."""

    def __init__(self, folder: Path) -> None:
        """Raises as `operator_of`."""
        self._folder = folder
        self._asked = bool(operator_of(folder).require_signed_by)

    def __call__(self) -> tuple[str, ...]:
        """None: nobody need have signed a version. Raises BadOperatorFile, BadKey, MissingExtra."""
        keys = operator_of(self._folder).require_signed_by or ()
        if self._asked and not keys:
            raise BadOperatorFile(
                "The operator's file asked for signatures, and does not any more: start the server again if that is "
                "meant, or write require_signed_by into it again."
            )
        self._asked = bool(keys)
        return keys


def admitted(folder: Path, registry: Registry, version: Version) -> Package:
    """The files of a version, if the operator lets it be loaded.

    Raises:
        NotSigned; BadOperatorFile, BadKey, MissingExtra; PackageCorrupt.
    """
    package = registry.package(version)
    require(package, version.model, version.ref, operator_of(folder).require_signed_by or ())
    return package
