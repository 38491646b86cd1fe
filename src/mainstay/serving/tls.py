"""The certificate of a server and its private key: two files, looked at before a server takes a port."""

from __future__ import annotations

import os
import ssl
import stat
from dataclasses import dataclass
from pathlib import Path

from mainstay.errors import MainstayError


class BadCertificate(MainstayError):
    """A server cannot show a certificate with the files that it was given."""


@dataclass(frozen=True)
class Tls:
    """Files in PEM: the certificate with what leads to its authority behind it, and the key."""

    certificate: Path
    key: Path

    def mark(self) -> tuple[tuple[int, int], ...]:
        """What changes whenever one of the files does. Raises OSError where one cannot be seen."""
        states = [os.stat(path) for path in (self.certificate, self.key)]  # noqa: PTH116 - what Path.stat does
        return tuple((state.st_ino, state.st_mtime_ns) for state in states)

    def check(self) -> None:
        """Refuses a pair that no client could be answered with, and a key that others can read.

        Raises:
            BadCertificate.
        """
        for path in (self.certificate, self.key):
            try:
                path.open("rb").close()
            except OSError as error:
                raise BadCertificate(f"{path} cannot be read ({error.strerror}): name the right file.") from error
        state = self.key.stat()
        if loose(state.st_mode, by_root=state.st_uid == 0):
            raise BadCertificate(
                f"Others can read the private key {self.key} (mode {stat.S_IMODE(state.st_mode):o}): run "
                f"chmod 600 {self.key}."
            )
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(self.certificate, self.key, _no_password)
        except ssl.SSLError as error:
            mismatch = error.reason in ("KEY_VALUES_MISMATCH", "NO_CERTIFICATE_ASSIGNED")  # that of another, or kind
            why = "the key is not that of the certificate" if mismatch else "one of them is no PEM file, or is damaged"
            raise BadCertificate(
                f"{self.certificate} and {self.key} are no certificate with its key: {why}."
            ) from error


def loose(mode: int, *, by_root: bool) -> bool:
    """Whether a private key can be read by more than its server's user; by the rule of PostgreSQL, a file of root's may
    be open to its group, which is how system packages and Kubernetes hand keys out."""
    return bool(stat.S_IMODE(mode) & (0o037 if by_root else 0o077))


def _no_password() -> str:
    raise BadCertificate("The private key is encrypted, and nobody is there to be asked for a password: decrypt it.")
