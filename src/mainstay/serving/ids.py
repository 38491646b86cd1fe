"""Prediction ids: one a request, sorted by time."""

from __future__ import annotations

import os
import time

_VERSION, _VARIANT = 7 << 76, 2 << 62
_RANDOM = (1 << 128) - 1 ^ (0xF << 76 | 3 << 62)


def new_id() -> str:
    """A UUIDv7 (RFC 9562, section 5.7): 48 bits of milliseconds since 1970, 74 random bits."""
    low = int.from_bytes(os.urandom(10), "big")
    value = ((time.time_ns() // 1_000_000 & 0xFFFFFFFFFFFF) << 80 | low) & _RANDOM | _VERSION | _VARIANT
    text = f"{value:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"
