"""How a receiver knows that a message is ours, new, and not a second one: Standard Webhooks' headers.

The signature is HMAC-SHA256, in base64, over `ID.TIME.BODY` (https://www.standardwebhooks.com, "Signature scheme").
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from datetime import datetime

from mainstay.errors import MainstayError

ID, TIME, SIGNATURE = "webhook-id", "webhook-timestamp", "webhook-signature"
_ENCODED = "whsec_"
SHORTEST = 16
"""Bytes of a secret: fewer could be guessed."""


class BadSecret(MainstayError):
    """A text that cannot sign."""


def key_of(secret: str, *, name: str) -> bytes:
    """The key that a secret spells: its UTF-8, or, after `whsec_`, the bytes that base64 encodes.

    Args:
        name: of the environment variable, for errors; the secret is in none.

    Raises:
        BadSecret: too short, or no base64.
    """
    if secret.startswith(_ENCODED):
        try:
            key = base64.b64decode(secret.removeprefix(_ENCODED), validate=True)
        except binascii.Error:
            raise BadSecret(
                f"{name} begins with {_ENCODED}, and is no base64 after it: copy the secret again."
            ) from None
    else:
        key = secret.encode()
    if len(key) < SHORTEST:
        raise BadSecret(f"{name} is shorter than {SHORTEST} bytes: take a longer secret, such as openssl rand -hex 32.")
    return key


def headers(key: bytes, message_id: str, at: datetime, body: bytes) -> dict[str, str]:
    """The headers that sign a message sent at a time."""
    seconds = str(int(at.timestamp()))
    signed = b".".join((message_id.encode(), seconds.encode(), body))
    digest = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    return {ID: message_id, TIME: seconds, SIGNATURE: f"v1,{digest}"}
