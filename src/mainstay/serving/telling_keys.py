"""What the agent tells the workers of keys, also while the disk is full.

Two things see to it that a key that is to shut somebody out does so at once. Room is held on the disk for the next
change. And where there is none all the same, the file is taken away, which needs none: without it workers answer
nobody (`serving.guard`), until it can be written. What shuts nobody out waits, with the keys as they were.
"""

from __future__ import annotations

import os
import time
from contextlib import suppress
from pathlib import Path

from mainstay.registry.keys import Keys
from mainstay.serving.access import FILE, Grants, denies, grants_of, write_grants
from mainstay.serving.rates import take_slots

ROOM = f".{FILE}.room"
ROOM_SIZE = 262_144
"""Bytes that are held: a thousand keys take less."""
HELD_AGAIN_EVERY = 5.0
"""Seconds between two tries to hold room on a disk that has none."""


class KeysTold:
    """The keys of a registry, as the workers of one run know them."""

    def __init__(self, keys: Keys, run: Path, *, told: Grants | None = None) -> None:
        """`told` is what they know already."""
        self._keys, self._run = keys, run
        self._edition = -1
        self._told = told
        self._slots: dict[str, int] = {}
        """Where the rates of keys are kept, by the key's id."""
        self._held = False
        self._hold_at = 0.0

    def tell(self) -> None:
        """Writes what has changed; to be called again and again.

        Raises:
            OSError: it cannot be written now.
        """
        edition = self._keys.edition()
        if edition != self._edition:
            keys = self._keys.all()
            take_slots(keys, self._slots)
            self._write(grants_of(keys, self._slots))
            self._edition = edition
        if not self._held and time.monotonic() >= self._hold_at:
            self._hold()

    def _write(self, grants: Grants) -> None:
        try:
            try:
                write_grants(self._run, grants)
            except OSError:
                self._held = False
                (self._run / ROOM).unlink(missing_ok=True)
                write_grants(self._run, grants)
        except OSError:
            if self._told is not None and denies(grants, self._told):
                (self._run / FILE).unlink(missing_ok=True)
            raise
        self._told = grants

    def _hold(self) -> None:
        self._hold_at = time.monotonic() + HELD_AGAIN_EVERY
        room = self._run / ROOM
        try:
            with room.open("wb") as file:
                os.posix_fallocate(file.fileno(), 0, ROOM_SIZE)
            self._held = True
        except OSError:
            with suppress(OSError):
                room.unlink(missing_ok=True)
