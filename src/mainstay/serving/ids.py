"""Prediction ids: one a request, sorted by time."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator

_AT_ONCE = 256
"""Ids whose random bits are drawn together: to ask the system for a few takes longer than all else about an id."""
_DIGITS = 20
"""Hexadecimal digits of them for an id; of the fifth, two bits are the variant's."""
_VARIANT = {f"{digit:x}": f"{8 | digit & 3:x}" for digit in range(16)}


def ids() -> Iterator[str]:
    """UUIDv7 (RFC 9562, section 5.7) without end: 48 bits of milliseconds since 1970, 74 random bits."""
    moment, begin = -1, ""
    while True:
        random = os.urandom(_AT_ONCE * _DIGITS // 2).hex()
        for begins in range(0, len(random), _DIGITS):
            bits = random[begins : begins + _DIGITS]
            now = time.time_ns() // 1_000_000
            if now != moment:
                moment, at = now, f"{now:012x}"
                begin = f"{at[:8]}-{at[8:]}-7"
            yield f"{begin}{bits[:3]}-{_VARIANT[bits[3]]}{bits[4:7]}-{bits[7:19]}"
