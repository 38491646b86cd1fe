"""What the operator of a machine asks for; no package and no project file can loosen it."""

from __future__ import annotations

import tomllib
from pathlib import Path

import msgspec

from mainstay.errors import MainstayError
from mainstay.models.classes import CODE_ID, FORMAT, require_trusted
from mainstay.models.package import Package
from mainstay.models.signing import checked_public_key, require
from mainstay.operations.home import OPERATOR_VARIABLE, operator_file, state_of
from mainstay.operations.trust import trusted_types
from mainstay.registry.records import Version
from mainstay.registry.store import Registry
from mainstay.serving.environments import FOLDER as ENVIRONMENTS
from mainstay.serving.host import HUNG_AFTER
from mainstay.serving.launch import Allowed

LONGEST_SECONDS = 86400.0
LEAST_MEMORY = 128
"""Megabytes without which Python and numpy do not start."""


class BadOperatorFile(MainstayError):
    """The operator's file cannot be read or meant; nothing is loaded until it can."""


class Operator(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The operator's file."""

    require_signed_by: tuple[str, ...] | None = None
    """Public keys, "ed25519:…"; a version is loaded and deployed only if one of them has signed it. None: any is."""
    trust_code: tuple[str, ...] = ()
    """Code ids, "sha256:…", of the Python classes that may run here. A signature does not stand in for it: it says
    who a version is from, and not that its code may do what this user may do."""
    class_seconds: float = HUNG_AFTER
    """Seconds of computing after which the process of a Python class is ended, and another started."""
    class_memory_mb: int | None = None
    """Megabytes (2^20 bytes) that the process of a Python class may take for its data; by default unbounded."""
    host_variables: tuple[str, ...] = ()
    """Variables of the environment that host processes see beside the harmless ones, which are all they see else."""


def operator_of(folder: Path) -> Operator:
    """What the file that MAINSTAY_OPERATOR names says, else `.mainstay/operator.toml`; without either, nothing.

    Raises:
        BadOperatorFile: the file that was named is not there, or a file says what cannot be meant.
        BadKey; MissingExtra: signatures are asked for, and cannot be checked here.
    """
    path, named = operator_file(folder)
    try:
        said = msgspec.convert(tomllib.loads(path.read_text(encoding="utf-8")), Operator)
    except FileNotFoundError:
        if named:
            told = f"{path}, which {OPERATOR_VARIABLE} names, does not exist: write it, or unset that."
            raise BadOperatorFile(told) from None
        return Operator()
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise BadOperatorFile(f"The operator's file {path} cannot be used: {error}.") from error
    if said.require_signed_by is not None and not said.require_signed_by:
        raise BadOperatorFile(f"require_signed_by in {path} names no key: write one, or remove the line.")
    for key in said.require_signed_by or ():
        checked_public_key(key)
    if bad := [code for code in said.trust_code if not CODE_ID.fullmatch(code)]:
        raise BadOperatorFile(f"trust_code in {path} names {bad[0]!r}: a code id is sha256: and 64 hex digits.")
    if said.class_memory_mb is not None and said.class_memory_mb < LEAST_MEMORY:
        raise BadOperatorFile(f"class_memory_mb in {path} is {said.class_memory_mb}: {LEAST_MEMORY} are needed.")
    if not 0 < said.class_seconds <= LONGEST_SECONDS:
        raise BadOperatorFile(
            f"class_seconds in {path} is {said.class_seconds:g}: more than 0 and at most {LONGEST_SECONDS:g} are meant."
        )
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


def allowed_here(folder: Path, types: Path | None = None) -> Allowed:
    """What host processes may do on this machine, as its operator says now; `types` is a file of trusted types.

    Raises:
        BadOperatorFile, and as `trusted_types`.
    """
    said = operator_of(folder)
    return Allowed(
        types=trusted_types(folder, types),
        code=said.trust_code,
        environments=state_of(folder) / ENVIRONMENTS,
        seconds=said.class_seconds,
        memory=None if said.class_memory_mb is None else said.class_memory_mb << 20,
        variables=said.host_variables,
    )


def admitted(folder: Path, registry: Registry, version: Version) -> Package:
    """The files of a version, if the operator lets it be loaded.

    Raises:
        NotSigned, UntrustedCode; BadOperatorFile, BadKey, MissingExtra; PackageCorrupt.
    """
    package, operator = registry.package(version), operator_of(folder)
    require(package, version.model, version.ref, operator.require_signed_by or ())
    if package.spec.format == FORMAT:
        require_trusted(package.manifest, operator.trust_code, version.ref)
    return package
