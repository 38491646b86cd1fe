"""`mainstay install-service`: writes the systemd units that run a project's server for good."""

from __future__ import annotations

import os
import pwd
import re
import sys
from pathlib import Path

import msgspec

from mainstay.errors import MachineError, MainstayError
from mainstay.operations.home import state_of
from mainstay.operations.units import Described, service_unit, socket_unit
from mainstay.project import FILE, Serve, load
from mainstay.registry.places import is_url
from mainstay.serving.draining import end_within

FOLDER = Path("/etc/systemd/system")
BEYOND_DRAIN = 30.0
"""Seconds after which a server that has not ended in order is killed: workers may be at their last requests until then,
and what is beside them ends after."""


class Installed(msgspec.Struct, frozen=True, kw_only=True):
    """What `mainstay install-service` answers."""

    units: dict[str, str]
    """The text of each unit, by its file's name."""
    folder: str | None
    """Where they were written; None: they were only to be told."""
    changed: list[str]
    """Those that were not there as they are now."""
    user: str
    enable: str
    """What to type next."""


class UnitExists(MainstayError):
    """There is a unit of this name that says something else."""


class NoSuchUser(MainstayError):
    """The service cannot run as this user."""


class NotAllowed(MachineError):
    """The units may not be written."""


def install_service(
    folder: Path, *, user: str | None = None, into: Path = FOLDER, printed: bool = False, force: bool = False
) -> Installed:
    """Writes the units of the project in `folder`; systemd is not told, and nothing is started.

    Args:
        user: who the server runs as; by default the owner of the folder.
        into: the folder of the units.
        printed: tell the units, and write nothing.
        force: replace units that say something else.

    Raises:
        NoSuchUser: there is no such user, it is root, or it does not own the project's state, or cannot reach Python.
        BadUnit: a path that systemd would read otherwise, or no fixed port.
        UnitExists; NotAllowed; ProjectError.
    """
    folder = folder.resolve()
    project = load(folder) if (folder / FILE).exists() else None
    serve, place = (Serve(), None) if project is None else (project.serve, project.registry)
    who = _user(folder, user)
    name = f"mainstay-{re.sub(r'[^A-Za-z0-9]+', '-', project.name if project else folder.name).strip('-') or 'server'}"
    blobs = None if place is None or place.blobs is None or is_url(place.blobs) else (folder / place.blobs).resolve()
    python = Path(sys.executable)
    said = Described(
        name=name,
        user=who.pw_name,
        folder=folder,
        python=python,
        host=serve.host,
        port=serve.port,
        grpc_port=serve.grpc_port,
        writable=() if blobs is None or blobs.is_relative_to(folder) else (blobs,),
        stop_within=end_within(serve.timeout) + BEYOND_DRAIN,
    )
    units = {f"{name}.service": service_unit(said), f"{name}.socket": socket_unit(said)}
    _check_reach(python, who)
    changed = [] if printed else _write(units, into, force=force)
    return Installed(
        units=units,
        folder=None if printed else str(into),
        changed=changed,
        user=who.pw_name,
        enable=f"systemctl daemon-reload && systemctl enable --now {name}.socket {name}.service",
    )


def _user(folder: Path, name: str | None) -> pwd.struct_passwd:
    """Who the server runs as. Raises NoSuchUser."""
    owner = folder.stat().st_uid
    try:
        found = pwd.getpwuid(owner) if name is None else pwd.getpwnam(name)
    except KeyError:
        who = f"user {name!r}" if name else f"name for the owner of {folder} (uid {owner})"
        raise NoSuchUser(
            f"There is no {who}: make a user for the service, such as with useradd --system mainstay, and give "
            "--user mainstay."
        ) from None
    if found.pw_uid == 0:
        raise NoSuchUser(
            "A server needs no right of root's: give --user NAME, a user of its own, to whom the folder belongs "
            f"(useradd --system mainstay; chown -R mainstay {folder})."
        )
    for path in (folder, state_of(folder)):
        if path.exists() and path.stat().st_uid != found.pw_uid:
            raise NoSuchUser(
                f"{path} does not belong to {found.pw_name}, who could write nothing there: run chown -R "
                f"{found.pw_name} {folder}, or give --user with the name of its owner."
            )
    return found


def _check_reach(python: Path, who: pwd.struct_passwd) -> None:
    """Raises NoSuchUser where a user cannot reach the interpreter, as one in another's home."""
    groups = set(os.getgrouplist(who.pw_name, who.pw_gid))
    for path in sorted({*python.parents, *python.resolve().parents}):
        state = path.stat()
        bit = 0o100 if state.st_uid == who.pw_uid else 0o010 if state.st_gid in groups else 0o001
        if not state.st_mode & bit:
            raise NoSuchUser(
                f"{who.pw_name} may not enter {path}, and Mainstay's Python is {python}: install Mainstay where every "
                f"user can run it, such as in a virtual environment in {Path('/opt/mainstay')}."
            )


def _write(units: dict[str, str], into: Path, *, force: bool) -> list[str]:
    """Writes what is not there yet as it should be; the names of those. Raises UnitExists, NotAllowed."""
    changed = []
    for name, text in units.items():
        found = (into / name).read_text(encoding="utf-8") if (into / name).exists() else None
        if found == text:
            continue
        if found is not None and not force:
            raise UnitExists(
                f"{into / name} is there and says something else: compare it with mainstay install-service --print, "
                f"keep changes of your own with systemctl edit {name}, then give --force to replace it."
            )
        changed.append(name)
    if changed and not os.access(into, os.W_OK):
        raise NotAllowed(
            f"{into} cannot be written by you: run it again as root (sudo), or give --print and put the units there."
            if into.is_dir()
            else f"There is no folder {into}: systemd's is {FOLDER}; give --dir with the one that is meant."
        )
    for name in changed:
        draft = into / f".{name}.new"
        try:
            draft.write_text(units[name], encoding="utf-8")
            draft.chmod(0o644)
            draft.replace(into / name)
        finally:
            draft.unlink(missing_ok=True)
    return changed
