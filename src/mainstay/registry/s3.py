"""Content-addressed blobs in a bucket that speaks S3: each is named by the SHA-256 of its bytes.

An object stands at `PREFIX/ab/abcdef…`. The store makes an upload visible when it is whole, never before. Who may use
the bucket, where it is and in which region, is said by the environment, as AWS's own tools have it
(AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_REGION, AWS_ENDPOINT_URL, …), or by the machine's role.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from mainstay.errors import MachineError, MainstayError, MissingExtra
from mainstay.registry.blobs import Listed, is_hash

if TYPE_CHECKING:
    from obstore.store import S3Store

_RETRIES = 4
_PATIENCE = timedelta(seconds=30)
"""How long a request is tried again that the store did not answer, or answered with a fault of its own."""
_ENDPOINTS = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT")
_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")


class BadBlobs(MainstayError):
    """A place of blobs that is none."""


class BlobsAway(MachineError):
    """The store of the blobs did not answer, or refused."""


class S3Blobs:
    """Blobs in a bucket, for any number of processes on any number of machines."""

    guarded = False
    """S3 removes on the condition of an ETag, which is the same for the same bytes, and of no time."""

    def __init__(self, url: str) -> None:
        """`url` is s3://BUCKET or s3://BUCKET/PREFIX. Nothing is asked of the store yet.

        Raises:
            BadBlobs: no such URL.
            MissingExtra: obstore is not installed.
        """
        self.url = url.rstrip("/")
        parts = urlsplit(self.url)
        if parts.scheme != "s3" or not _BUCKET.fullmatch(parts.netloc) or parts.query or parts.fragment:
            raise BadBlobs(f"{url!r} is no place for blobs: write s3://BUCKET or s3://BUCKET/PREFIX.")
        self._store = _opened(parts.netloc, parts.path.strip("/"))

    def put(self, data: bytes) -> str:
        """Keeps the bytes and gives their SHA-256 (hex); the store checks what it received against it.

        Bytes that are here already are written again: that mends a damaged blob, and makes it as young as a new one
        for whoever collects old ones that nothing names yet.

        Raises:
            BlobsAway.
        """
        sha = hashlib.sha256(data).hexdigest()
        with self._told():
            self._store.put(self._key(sha), data)
        return sha

    def get(self, sha: str) -> bytes:
        """The bytes under a hash: whoever needs them right checks them (`Package` does).

        Raises:
            KeyError: `sha` is no SHA-256 in lower-case hex.
            FileNotFoundError: not here.
            BlobsAway.
        """
        key = self._key(sha)
        with self._told():
            return bytes(self._store.get(key).bytes())

    def has(self, sha: str) -> bool:
        """Whether a blob stands under this hash. Raises BlobsAway."""
        if not is_hash(sha):
            return False
        try:
            with self._told():
                self._store.head(self._key(sha))
        except FileNotFoundError:
            return False
        return True

    def sweep(self) -> int:
        """Nothing: the store shows no unfinished upload, and its lifecycle rules remove them."""
        return 0

    def listed(self) -> Iterator[Listed]:
        """Every blob under the prefix, in no order. Raises BlobsAway."""
        with self._told():
            for some in self._store.list():
                for each in some:
                    folder, _, name = str(each["path"]).partition("/")
                    if is_hash(name) and folder == name[:2]:
                        yield Listed(name, int(each["size"]), each["last_modified"])

    def discard(self, sha: str, *, before: datetime) -> bool:
        """Removes a blob that nobody has put since a time, by the store's clock; False where somebody has, or it is
        gone. A put between looking and removing is lost: `garbage` keeps the two apart.

        Raises:
            KeyError: `sha` is no SHA-256 in lower-case hex.
            BlobsAway.
        """
        key = self._key(sha)
        try:
            with self._told():
                if self._store.head(key)["last_modified"] >= before:
                    return False
                self._store.delete(key)
        except FileNotFoundError:
            return False
        return True

    def _key(self, sha: str) -> str:
        if not is_hash(sha):
            raise KeyError(sha)
        return f"{sha[:2]}/{sha}"

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Turns what the store says into what a person can act on."""
        from obstore import exceptions  # noqa: PLC0415 - an extra

        try:
            yield
        except FileNotFoundError as error:  # how obstore says that there is no such object, or no such bucket
            raise self._missing(str(error)) from error
        except exceptions.NotFoundError as error:
            raise self._missing(str(error)) from error
        except (exceptions.PermissionDeniedError, exceptions.UnauthenticatedError) as error:
            raise BlobsAway(
                f"{self.url} refuses these credentials: check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (or the "
                "machine's role), and that they may read and write there."
            ) from error
        except exceptions.BaseError as error:
            raise BlobsAway(
                f"{self.url} cannot be used ({_first_line(error)}): check AWS_ENDPOINT_URL, AWS_REGION and the "
                "credentials, then try again."
            ) from error

    def _missing(self, said: str) -> Exception:
        if "NoSuchBucket" in said:
            return BlobsAway(f"{self.url}: there is no such bucket; make it first, or mend blobs in [registry].")
        return FileNotFoundError(f"{self.url} has no such blob")


def _opened(bucket: str, prefix: str) -> S3Store:
    try:
        from obstore.store import S3Store  # noqa: PLC0415 - an extra
    except ModuleNotFoundError as error:
        raise MissingExtra("An s3:// place of blobs", "s3", "obstore") from error
    endpoint = next((os.environ[name] for name in _ENDPOINTS if os.environ.get(name)), "")
    return S3Store(
        bucket,
        prefix=prefix or None,
        config={"checksum_algorithm": "SHA256"},
        # An endpoint that the operator wrote with http:// is meant so.
        client_options={"allow_http": True} if endpoint.startswith("http://") else None,
        retry_config={"max_retries": _RETRIES, "retry_timeout": _PATIENCE},
    )


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0].rstrip(".")
