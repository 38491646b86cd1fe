"""`mainstay keys`: who may ask servers for what. The one place that makes secrets, and shows each of them once."""

from __future__ import annotations

import os
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Self

import msgspec
from msgspec import structs

from mainstay.errors import MainstayError
from mainstay.operations.home import actor
from mainstay.operations.registries import opened
from mainstay.operations.telling import subscribe
from mainstay.registry.key_models import EVERY
from mainstay.registry.key_text import hashed, new_id, new_text
from mainstay.registry.keys import VERBS, BadKeyScope
from mainstay.registry.records import ApiKey, KeyVerb

GRACE = timedelta(days=1)
_UNITS = {"m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_LENGTH = re.compile(r"(\d{1,6})([mhdw])")


class NewKey(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A key with a new secret."""

    id: str
    name: str
    models: tuple[str, ...]
    verbs: tuple[str, ...]
    expires_at: datetime | None
    key: str | None = None
    """Its text, which is shown here and never again."""
    path: str | None = None
    """The file that the text was written into instead."""
    previous_until: datetime | None = None
    """Until when the text before it goes on."""
    first: bool = False
    """There was no key before: from now on servers answer nobody without one."""


class KeyLine(msgspec.Struct, frozen=True, kw_only=True):
    """A key as `mainstay keys list` has it."""

    id: str
    name: str
    status: str
    models: tuple[str, ...]
    verbs: tuple[str, ...]
    rate: float | None
    burst: int | None
    expires_at: datetime | None
    previous_until: datetime | None
    created_at: datetime
    revoked_at: datetime | None
    actor: str


class KeyLines(msgspec.Struct, frozen=True, kw_only=True):
    keys: list[KeyLine]


class Ended(msgspec.Struct, frozen=True, kw_only=True):
    """A key that was revoked or forgotten."""

    name: str
    left: int
    """Keys that there are, revoked ones too; at 0, servers answer everybody."""


def create(
    folder: Path,
    name: str,
    *,
    models: str = EVERY,
    verbs: str = "predict,read",
    expires: str | None = None,
    rate: float | None = None,
    burst: int | None = None,
    output: Path | None = None,
) -> NewKey:
    """Makes a key.

    Args:
        models: names, parted by commas, in which "*" stands for any characters.
        verbs: parted by commas.
        expires: after how long, such as "90d"; None: never.
        output: file for the key's text, made with the mode 0600; None: it is in the answer.

    Raises:
        BadKeyScope, KeyExists; NoRegistry; MainstayError: the file is there already.
    """
    until = None if expires is None else datetime.now(UTC) + length_of(expires)
    key_id = new_id()
    text = new_text(key_id)
    with opened(folder) as registry, _Output(output) as file:
        subscribe(folder, registry)
        key = registry.keys.create(
            key_id,
            name,
            sha256=hashed(text),
            models=_parted(models),
            verbs=_verbs(verbs),
            expires_at=until,
            rate=rate,
            burst=burst,
            actor=actor(),
        )
        return structs.replace(_told(key, text, file), first=len(registry.keys.all()) == 1)


def rotate(folder: Path, name: str, *, grace: str = "1d", output: Path | None = None) -> NewKey:
    """Gives a key a new secret, beside which the old one goes on for a while.

    Raises:
        KeyNotFound, BadKeyScope; NoRegistry; MainstayError: the file is there already.
    """
    kept = timedelta(0) if grace == "0" else length_of(grace)
    with opened(folder, create=False) as registry, _Output(output) as file:
        subscribe(folder, registry)
        present = registry.keys.named(name)
        text = new_text(present.id)
        key = registry.keys.rotate(present, sha256=hashed(text), grace=kept, actor=actor())
        return _told(key, text, file)


def listed(folder: Path) -> KeyLines:
    """Every key, the oldest first. Raises NoRegistry."""
    now = datetime.now(UTC)
    with opened(folder, create=False) as registry:
        keys = registry.keys.all()
    names = KeyLine.__struct_fields__
    return KeyLines(
        keys=[
            KeyLine(status=key.status(now), **{name: getattr(key, name) for name in names if name != "status"})
            for key in keys
        ]
    )


def revoke(folder: Path, name: str, *, reason: str = "") -> Ended:
    """Ends a key for good. Raises KeyNotFound, NoRegistry."""
    with opened(folder, create=False) as registry:
        subscribe(folder, registry)
        registry.keys.revoke(name, actor=actor(), reason=reason)
        return Ended(name=name, left=len(registry.keys.all()))


def forget(folder: Path, name: str) -> Ended:
    """Removes what is kept of a revoked key. Raises KeyNotFound, NoRegistry."""
    with opened(folder, create=False) as registry:
        subscribe(folder, registry)
        return Ended(name=name, left=registry.keys.forget(name, actor=actor()))


def length_of(text: str) -> timedelta:
    """The length of time that "90d", "12h", "30m" or "2w" says. Raises BadKeyScope."""
    found = _LENGTH.fullmatch(text)
    if found is None or not int(found[1]):
        raise BadKeyScope(f"{text!r} is no length of time: write minutes, hours, days or weeks, such as 30m, 12h, 90d.")
    return timedelta(seconds=int(found[1]) * _UNITS[found[2]])


class _Output:
    """The file of a key's text: made before the key is, so that no key is made whose text cannot be kept."""

    def __init__(self, path: Path | None) -> None:
        self.path = path

    def __enter__(self) -> Self:
        if self.path is not None:
            try:
                self._handle = os.open(self.path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
            except FileExistsError:
                raise MainstayError(
                    f"{self.path} is there already, and is not overwritten: choose another name."
                ) from None
        return self

    def write(self, text: str) -> None:
        with open(self._handle, "w", encoding="ascii") as file:  # noqa: PTH123 - a descriptor, not a path
            file.write(text + "\n")
            file.flush()
            os.fsync(file.fileno())

    def __exit__(self, kind: type[BaseException] | None, *error: object) -> None:
        if kind is not None and self.path is not None:
            self.path.unlink()


def _told(key: ApiKey, text: str, file: _Output) -> NewKey:
    if file.path is not None:
        file.write(text)
    return NewKey(
        id=key.id,
        name=key.name,
        models=key.models,
        verbs=key.verbs,
        expires_at=key.expires_at,
        key=text if file.path is None else None,
        path=None if file.path is None else str(file.path),
        previous_until=key.previous_until,
    )


def _parted(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _verbs(text: str) -> list[KeyVerb]:
    return [_verb(part) for part in _parted(text)]


def _verb(text: str) -> KeyVerb:
    for verb in VERBS:
        if verb == text:
            return verb
    raise BadKeyScope(f"{text!r} is no verb. Known: {', '.join(VERBS)}.")
