"""Which versions the operator lets be served, as the operator says now; what cannot be understood loosens nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from mainstay.errors import MainstayError
from mainstay.models.package import Package
from mainstay.models.signing import NotSigned, require
from mainstay.registry.records import Version

Signers = Callable[[], Sequence[str]]
"""The public keys of which one must have signed a version; none: nobody need have. Raises MainstayError."""


class NotAdmitted(MainstayError):
    """What the operator says cannot be understood, so nothing more is loaded."""


class Admission:
    """Holds versions to the operator's word."""

    def __init__(self, signers: Signers) -> None:
        self._signers = signers
        self._keys: tuple[str, ...] = ()
        self._trouble = ""
        self._held: dict[str, tuple[str, ...]] = {}
        """By version, the keys under which it was admitted."""
        self.edition = 0
        """Grows when the operator says something else."""

    def look(self) -> None:
        """Reads what the operator says; where that cannot be understood, what was said before goes on to count."""
        try:
            keys, trouble = tuple(self._signers()), ""
        except MainstayError as error:
            keys, trouble = self._keys, str(error)
        if (keys, trouble) != (self._keys, self._trouble) or not self.edition:
            self._keys, self._trouble = keys, trouble
            self.edition += 1

    def admitted(self, ref: str) -> bool:
        """Whether a version was admitted under what the operator says now."""
        return self._held.get(ref) == self._keys

    def check(self, package: Package, version: Version) -> None:
        """Refuses what the operator does not let be loaded.

        Raises:
            NotSigned, NotAdmitted; PackageCorrupt, BadKey, MissingExtra: as `require`.
        """
        if self.admitted(version.ref):
            return
        if self._trouble:
            raise NotAdmitted(f"{version.ref} is not loaded: {self._trouble}")
        try:
            require(package, version.model, version.ref, self._keys)
        except NotSigned:
            self._held.pop(version.ref, None)
            raise
        self._held[version.ref] = self._keys
