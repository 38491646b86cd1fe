"""A Python class as a version: which class it is, in which Python, and whether the operator lets its code run.

Three files of such a package hold code, or decide which code is installed: the archive of its folder, the locked
requirements, and the name of the class. Their digest is what an operator trusts. It changes with every byte of them,
and with nothing else: a new golden prediction is no new code.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection
from typing import Final

import msgspec

from mainstay.errors import MainstayError
from mainstay.models.package import Manifest, PackageCorrupt

FORMAT: Final = "python-class"
CODE = "code.zip"
REQUIREMENTS = "requirements.lock"
CLASS = "class.json"
OURS = ("msgspec", "numpy")
"""What a host process needs of its own, and so has to be among the requirements of every class."""
CODE_ID = re.compile(r"sha256:[0-9a-f]{64}")
_NAME = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*:[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*", re.ASCII)
_PYTHON = re.compile(r"3\.(?P<minor>[1-9][0-9])")
OLDEST = 11


class UntrustedCode(MainstayError):
    """A version is code that the operator of this machine has not trusted; none of it was run."""

    def __init__(self, what: str, code: str) -> None:
        self.code = code
        super().__init__(
            f"{what} is Python code, which would run with your rights, and this machine's operator does not trust it: "
            f'read it, and then write trust_code = ["{code}"] in .mainstay/operator.toml (or in the file that '
            "MAINSTAY_OPERATOR names)."
        )


class BadClass(MainstayError):
    """The name of a class, or of a Python, that cannot be meant."""


class ClassSpec(msgspec.Struct, frozen=True, kw_only=True):
    """Which class answers, and in which Python."""

    name: str
    """Module and class, "pricing.model:Pricing"."""
    python: str
    """Its minor version, "3.11": the requirements are locked for it."""

    def checked(self) -> ClassSpec:
        """This, if it names a class and a Python. Raises BadClass."""
        if not _NAME.fullmatch(self.name):
            raise BadClass(f"{self.name!r} names no class: write its module and name, such as pricing.model:Pricing.")
        if self.module.partition(".")[0] == "mainstay":
            raise BadClass(f"{self.name!r} is a class of Mainstay's own: give the module another name.")
        found = _PYTHON.fullmatch(self.python)
        if found is None or int(found["minor"]) < OLDEST:
            raise BadClass(f"{self.python!r} is no Python that a class can run in: write 3.{OLDEST} or a newer one.")
        return self

    @property
    def module(self) -> str:
        return self.name.partition(":")[0]


def is_class(manifest: Manifest) -> bool:
    """Whether a package is, or pretends to be, a Python class."""
    return CODE in manifest.content or CLASS in manifest.content


def code_id(manifest: Manifest) -> str:
    """What an operator trusts: "sha256:" and the SHA-256 (hex) over the hashes of what holds or names code.

    Raises:
        PackageCorrupt: the package holds no class.
    """
    try:
        named = {name: manifest.content[name].sha256 for name in (CLASS, CODE, REQUIREMENTS)}
    except KeyError as error:
        raise PackageCorrupt(f"The package of a Python class has no file {error}: restore it from a copy.") from error
    return f"sha256:{hashlib.sha256(msgspec.json.encode(named, order='deterministic')).hexdigest()}"


def require_trusted(manifest: Manifest, trusted: Collection[str], what: str = "This model") -> None:
    """Raises UntrustedCode unless the operator trusts the code of a package; `what` is how it is called there."""
    code = code_id(manifest)
    if code not in trusted:
        raise UntrustedCode(what, code)
