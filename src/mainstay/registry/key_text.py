"""The text of an API key: `msk_`, the key's id, "_", a random secret, and a checksum of all that.

The prefix lets scanners of source code find a key that was committed by mistake, and the checksum (the CRC-32 of
RFC 1952, six digits in base 62, as GitHub's tokens have it) tells them, and us, a key from what only looks like one.

A registry keeps the SHA-256 of the text. A plain hash is right here, where a password would take a slow and salted
one: the secret is 256 random bits, so there is nothing to guess, no two are alike, and no table can be made of them.
"""

from __future__ import annotations

import hashlib
import re
import secrets
import zlib

PREFIX = "msk_"
SECRET_BITS = 256
_DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_ID, _SECRET, _CHECK = 12, 43, 6
"""Digits; 62**43 is more than 2**256."""
TEXT = re.compile(rf"{PREFIX}([0-9A-Za-z]{{{_ID}}})_[0-9A-Za-z]{{{_SECRET + _CHECK}}}")
"""What a secret scanner looks for; the group is the id."""


def new_id() -> str:
    """The id of a new key: no secret, and part of its text."""
    return "".join(secrets.choice(_DIGITS) for _ in range(_ID))


def new_text(key_id: str) -> str:
    """The text of a new secret for a key."""
    body = f"{PREFIX}{key_id}_{_in_base_62(secrets.randbits(SECRET_BITS), _SECRET)}"
    return body + _checksum(body)


def id_of(text: str) -> str | None:
    """The id of the key whose text this may be; None where it is none, or has a mistake in it."""
    found = TEXT.fullmatch(text)
    if found is None or _checksum(text[:-_CHECK]) != text[-_CHECK:]:
        return None
    return found[1]


def hashed(text: str) -> str:
    """What is kept of a key's text: its SHA-256 (hex)."""
    return hashlib.sha256(text.encode()).hexdigest()


def _checksum(body: str) -> str:
    return _in_base_62(zlib.crc32(body.encode()), _CHECK)


def _in_base_62(number: int, digits: int) -> str:
    text = ""
    for _ in range(digits):
        number, digit = divmod(number, 62)
        text = _DIGITS[digit] + text
    return text
