"""The environments of Python classes on this machine: one for each locked list of requirements, made once.

An environment is built beside its place and renamed into it, under a lock: it is whole or absent, whoever is stopped
and however many need it at once. All of them can be removed at any time at which no server runs: they are made again.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import re
import shutil
import sys
import sysconfig
import tempfile
from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from mainstay.models.classes import CLASS, OURS, REQUIREMENTS, ClassSpec
from mainstay.models.package import Package, PackageCorrupt
from mainstay.models.requirements import locked
from mainstay.registry.disk import refused
from mainstay.registry.locks import taken
from mainstay.serving.uv import make_environment

FOLDER = "environments"
"""In a project's state folder."""


_NAMED = re.compile(r"(?P<key>[0-9a-f]{64})|\.(?P<left>[0-9a-f]{64})-.*")


@dataclass(frozen=True)
class Pruned:
    """An environment that no version needs."""

    name: str
    size: int
    """Bytes."""
    used_at: datetime


class Environments:
    """The environments in a folder."""

    def __init__(self, root: Path) -> None:
        """`root` is made with the first environment."""
        self.root = root.absolute()

    def of(self, package: Package, told: Callable[[str], None] = lambda sentence: None) -> Path:
        """The Python of a class's environment, which is built where it is not there yet.

        No code of the class is run, and none of its libraries': wheels are unpacked.

        Args:
            told: hears a sentence where it takes time.

        Raises:
            BadRequirements, BadClass, PackageCorrupt: what the package says is not a locked environment.
            CannotInstall, IndexAway, MissingExtra: it cannot be built here. MachineError: the disk said no.
        """
        text, python = _said(package)
        packages = locked(text, needed=OURS)
        place = self.root / _key(text, python)
        if not _whole(place):
            try:
                self._build(
                    place, text, python, lambda: told(_sentence(len({found.name for found in packages}), python))
                )
            except OSError as error:
                raise refused(error, place) from error
        with contextlib.suppress(OSError):  # of another user, or read-only
            os.utime(place)  # as young as a new one, for whoever removes old ones
        return _python(place)

    def prune(self, live: Collection[str], *, before: datetime, dry_run: bool) -> list[Pruned]:
        """Removes the environments that no version needs, and that nobody has used since a time; or says which.

        Args:
            live: names of those that versions need, as `name_of` gives them.

        Raises:
            MachineError: the folder cannot be read or written.
        """
        try:
            found = sorted(self.root.iterdir()) if self.root.is_dir() else []
            old = [
                each for each in found if each.is_dir() and _key_in(each) not in (None, *live) and _used(each) < before
            ]
            told = [Pruned(each.name, _size(each), _used(each)) for each in old]
            return [each for each in told if dry_run or self._remove(self.root / each.name, before)]
        except OSError as error:
            raise refused(error, self.root) from error

    def _remove(self, place: Path, before: datetime) -> bool:
        """Removes one, unless somebody builds it, or has used it meanwhile."""
        lock = os.open(self.root / f"{_key_in(place)}.lock", os.O_CREAT | os.O_RDWR, 0o644)
        try:
            if not taken(lock) or _used(place) >= before:
                return False
            gone = place if place.name.startswith(".") else place.with_name(f".{place.name}-gone")
            place.rename(gone)  # whole or absent, whoever is stopped
            shutil.rmtree(gone)
            return True
        finally:
            os.close(lock)

    def _build(self, place: Path, text: str, python: str, told: Callable[[], None]) -> None:
        self.root.mkdir(parents=True, exist_ok=True)
        lock = os.open(self.root / f"{place.name}.lock", os.O_CREAT | os.O_RDWR, 0o644)
        try:
            if not taken(lock):
                told()
                fcntl.flock(lock, fcntl.LOCK_EX)
                if _whole(place):  # whoever had the lock has built it
                    return
            else:
                told()
            for left in (place, *self.root.glob(f".{place.name}-*")):  # broken, or left behind by who was killed
                shutil.rmtree(left, ignore_errors=True)
            draft = Path(tempfile.mkdtemp(prefix=f".{place.name}-", dir=self.root))
            try:
                # The lock lives for as long as uv does, also where this process is killed.
                make_environment(draft / "env", text, python=_base(python), keep_open=[lock])
                os.sync()  # so that no power cut leaves a whole environment of empty files
                (draft / "env").rename(place)
            finally:
                shutil.rmtree(draft, ignore_errors=True)
        finally:
            os.close(lock)


def name_of(package: Package) -> str:
    """The name of the environment that a class needs. Raises BadClass, PackageCorrupt."""
    return _key(*_said(package))


def _said(package: Package) -> tuple[str, str]:
    """The locked list of a class, and its Python."""
    try:
        text = package.read(REQUIREMENTS).decode("utf-8")
    except UnicodeDecodeError:
        raise PackageCorrupt(f"{REQUIREMENTS} of the package is no text: restore it from a copy.") from None
    return text, package.document(CLASS, ClassSpec).checked().python


def _key_in(place: Path) -> str | None:
    """The name of an environment, or of one that was left half built; None for anything else."""
    found = _NAMED.fullmatch(place.name)
    return found and (found["key"] or found["left"])


def _size(place: Path) -> int:
    return sum((Path(folder) / name).lstat().st_size for folder, _, names in os.walk(place) for name in names)


def _used(place: Path) -> datetime:
    return datetime.fromtimestamp(place.stat().st_mtime, UTC)


def _key(text: str, python: str) -> str:
    """What an environment depends on: the list, the Python, and the kind of machine."""
    said = f"{sysconfig.get_platform()}\n{python}\n{text}"
    return hashlib.sha256(said.encode()).hexdigest()


def _base(python: str) -> str:
    """The Python that this one was made from, where its version is asked for; else the version, for uv to find."""
    own = Path(sys.base_prefix) / "bin" / f"python{sys.version_info.major}.{sys.version_info.minor}"
    return str(own) if own.name == f"python{python}" and own.exists() else python


def _python(place: Path) -> Path:
    return place / "bin" / "python"


def _whole(place: Path) -> bool:
    # The Python that it was made from may have been removed since: then the link leads nowhere.
    return _python(place).exists()


def _sentence(packages: int, python: str) -> str:
    return (
        f"Installing the {packages} packages that the class needs into an environment of Python {python} of its own; "
        "this is done once, and may take some minutes."
    )
