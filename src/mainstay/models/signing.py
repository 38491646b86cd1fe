"""Signatures of versions (Ed25519, RFC 8032): who vouches for what a version answers.

A signature is an attestation, `signed-KEY.json`, over the model's name and the content id, so that it cannot be moved
to another model, nor to other content. Whose signature is asked for is said by the operator, and by no package.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

import msgspec

from mainstay.errors import CheckFailed, MainstayError, MissingExtra
from mainstay.models.package import Package

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

KIND = "ed25519:"
_FILE = re.compile(r"signed-[0-9a-f]{16}\.json")


class BadKey(MainstayError):
    """A text or file that is no key."""


class NotSigned(CheckFailed):
    """No key that the operator asks for has signed the version."""

    def __init__(self, ref: str, found: Sequence[str]) -> None:
        self.ref, self.found = ref, tuple(found)
        by = f" (it is signed by {', '.join(found)})" if found else ""
        super().__init__(
            f"{ref} is not signed by a key that require_signed_by of the operator's file names{by}: "
            f"have it signed with mainstay sign {ref} --key KEY."
        )


class Signed(msgspec.Struct, frozen=True, kw_only=True):
    """A signature as it is kept with a version."""

    model: str
    content_id: str
    public_key: str
    signature: str
    """Base64 of 64 bytes, over `statement(model, content_id)`."""
    at: datetime
    actor: str
    """Who and when are told by the signer, and not signed."""


def statement(model: str, content_id: str) -> bytes:
    """The bytes that are signed."""
    return f"mainstay version signature 1\n{model}\n{content_id}\n".encode()


def file_of(public_key: str) -> str:
    """The name of the attestation that holds a key's signature."""
    return f"signed-{hashlib.sha256(public_key.encode()).hexdigest()[:16]}.json"


def public_key_of(key: Ed25519PrivateKey) -> str:
    """The public half of a key: "ed25519:" and the base64 of its 32 bytes."""
    return KIND + base64.b64encode(key.public_key().public_bytes_raw()).decode()


def new_key() -> Ed25519PrivateKey:
    """A key from the system's randomness. Raises MissingExtra."""
    try:
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey  # noqa: PLC0415 - an extra
    except ModuleNotFoundError:
        raise _missing() from None
    return Ed25519PrivateKey.generate()


def pem_of(key: Ed25519PrivateKey) -> bytes:
    """The private key as PEM (PKCS #8), unencrypted."""
    from cryptography.hazmat.primitives import serialization  # noqa: PLC0415 - an extra

    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def key_of(pem: bytes, *, name: str) -> Ed25519PrivateKey:
    """The private key of a PEM file; `name` stands in errors.

    Raises:
        BadKey: no PEM, encrypted, or a key of another kind.
        MissingExtra.
    """
    try:
        from cryptography.exceptions import UnsupportedAlgorithm  # noqa: PLC0415 - an extra
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey  # noqa: PLC0415
        from cryptography.hazmat.primitives.serialization import load_pem_private_key  # noqa: PLC0415
    except ModuleNotFoundError:
        raise _missing() from None
    try:
        key = load_pem_private_key(pem, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise BadKey(f"{name} is no private key in PEM without a password: make one with mainstay keygen.") from None
    if not isinstance(key, Ed25519PrivateKey):
        raise BadKey(f"{name} is a key, but none of Ed25519: make one with mainstay keygen.")
    return key


def checked_public_key(text: str) -> str:
    """The text, if it is a public key. Raises BadKey, MissingExtra."""
    _loaded(text)
    return text


def sign(key: Ed25519PrivateKey, model: str, content_id: str, *, at: datetime, actor: str) -> Signed:
    """A key's signature of what a version answers."""
    return Signed(
        model=model,
        content_id=content_id,
        public_key=public_key_of(key),
        signature=base64.b64encode(key.sign(statement(model, content_id))).decode(),
        at=at,
        actor=actor,
    )


def require(package: Package, model: str, ref: str, keys: Sequence[str]) -> None:
    """Refuses a version that none of the keys has signed; without keys, nothing is asked for.

    Raises:
        NotSigned; BadKey: one of the keys is none; PackageCorrupt: a file was changed.
        MissingExtra: a signature is asked for, and cannot be checked here.
    """
    if not keys:
        return
    trusted = {text: _loaded(text) for text in keys}
    signers = []
    for name in sorted(package.manifest.attestations):
        signed = _signed(package, name)
        if signed is None:
            continue
        key = trusted.get(signed.public_key)
        if key is not None and _verifies(key, signed.signature, statement(model, package.manifest.content_id)):
            return
        signers.append(signed.public_key)
    raise NotSigned(ref, signers)


def _signed(package: Package, name: str) -> Signed | None:
    """None for what is no signature, whatever its name: it vouches for nothing."""
    if not _FILE.fullmatch(name):
        return None
    try:
        return msgspec.json.decode(package.read(name), type=Signed)
    except (msgspec.DecodeError, msgspec.ValidationError):
        return None


def _verifies(key: Ed25519PublicKey, signature: str, message: bytes) -> bool:
    from cryptography.exceptions import InvalidSignature  # noqa: PLC0415 - an extra

    try:
        key.verify(base64.b64decode(signature, validate=True), message)
    except (InvalidSignature, binascii.Error, ValueError):
        return False
    return True


def _loaded(text: str) -> Ed25519PublicKey:
    try:
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey  # noqa: PLC0415 - an extra
    except ModuleNotFoundError:
        raise _missing() from None
    try:
        # Without its beginning, nothing is left that could be decoded.
        encoded = text.removeprefix(KIND) if text.startswith(KIND) else ""
        return Ed25519PublicKey.from_public_bytes(base64.b64decode(encoded, validate=True))
    except (binascii.Error, ValueError):
        raise BadKey(f"{text!r} is no public key: copy the line that mainstay keygen printed, ed25519:….") from None


def _missing() -> MissingExtra:
    return MissingExtra("A signature", "sign", "cryptography")
