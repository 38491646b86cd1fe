"""`mainstay remote`: what a server of another machine serves, and changing it, over the Open Inference Protocol.

Written for a server that asks for keys: the key comes from a file that its owner alone can read, never from an
argument, which other users of the machine see; it goes to the server that was named and nowhere else, so neither
redirects nor proxies are followed; and it leaves the machine over https alone.
"""

from __future__ import annotations

import os
import stat
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import quote, urlsplit
from urllib.request import HTTPRedirectHandler, ProxyHandler, Request, build_opener

import msgspec

from mainstay.errors import CheckFailed, MachineError, MainstayError
from mainstay.registry.key_text import id_of
from mainstay.serving.ports import loopback

VARIABLE = "MAINSTAY_KEY_FILE"
WITHIN = 120.0
"""Seconds for an answer: a change is answered when every worker has acknowledged it."""
_LONGEST = 10_000_000


class BadKeyFile(MainstayError):
    """The file of a key cannot be used."""


class BadServerUrl(MainstayError):
    """No server can be at a URL, or no key can be sent there."""


class ServerRefused(CheckFailed):
    """The server said no, and why."""


class ServerAway(MachineError):
    """The server does not answer."""


class RemoteModel(msgspec.Struct, frozen=True, kw_only=True):
    """A line of a server's index."""

    name: str
    version: str = ""
    state: str = ""
    reason: str = ""


class RemoteModels(msgspec.Struct, frozen=True, kw_only=True):
    """What a server serves."""

    url: str
    models: list[RemoteModel]


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """A change that a server has made."""

    url: str
    model: str
    verb: str


class _NoRedirect(HTTPRedirectHandler):
    def redirect_request(self, *given: Any) -> None:
        """Whoever redirects gets no key."""


def listed(url: str, *, key_file: Path | None) -> RemoteModels:
    """What a server serves, and what it could. Raises as `change`."""
    said = post(url, "/v2/repository/index", key_file)
    try:
        return RemoteModels(url=url, models=msgspec.json.decode(said, type=list[RemoteModel]))
    except msgspec.DecodeError as error:
        raise BadServerUrl(f"What answers at {url} is no server of models: name another URL.") from error


def change(url: str, model: str, verb: str, *, key_file: Path | None) -> Asked:
    """Has a server load a model (the version that its registry says), or unload it.

    Args:
        verb: "load" or "unload".
        key_file: file of an API key with the verb `manage`; by default the one that MAINSTAY_KEY_FILE names.

    Raises:
        BadKeyFile, BadServerUrl; ServerRefused, ServerAway.
    """
    post(url, f"/v2/repository/models/{quote(model, safe='')}/{verb}", key_file)
    return Asked(url=url, model=model, verb=verb)


def read_key(path: Path) -> str:
    """The key in a file that its owner alone can read. Raises BadKeyFile."""
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            if stat.S_IMODE(mode) & 0o077:
                raise BadKeyFile(
                    f"Others can read the key in {path} (mode {stat.S_IMODE(mode):o}): run chmod 600 {path}."
                )
            text = file.read(1000).decode(errors="replace").strip()
    except OSError as error:
        raise BadKeyFile(
            f"The key file {path} cannot be read ({error.strerror}): make one with mainstay keys create NAME "
            "--verbs read,manage --output FILE."
        ) from error
    if id_of(text) is None:
        raise BadKeyFile(f"What is in {path} is no API key: a key begins with msk_, and stands there alone.")
    return text


def post(url: str, path: str, key_file: Path | None, body: bytes = b"{}") -> bytes:
    """What a server answers to a JSON body.

    Args:
        url: of the server.
        path: on it.
        key_file: of a key to show; by default the one that MAINSTAY_KEY_FILE names.
        body: JSON.

    Raises:
        BadKeyFile, BadServerUrl; ServerRefused, ServerAway.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username is not None:
        raise BadServerUrl(f"{url!r} is no URL of a server, such as https://ml.example.org:8080.")
    headers = {"Content-Type": "application/json"}
    named = key_file or (Path(os.environ[VARIABLE]) if VARIABLE in os.environ else None)
    if named is not None:
        if parts.scheme == "http" and not loopback(parts.hostname):
            raise BadServerUrl(f"At {url} the key would go over the network in the clear: use https.")
        headers["Authorization"] = f"Bearer {read_key(named)}"
    request = Request(url.rstrip("/") + path, data=body, headers=headers, method="POST")  # noqa: S310 - http or https
    opener = build_opener(_NoRedirect, ProxyHandler({}))
    try:
        with opener.open(request, timeout=WITHIN) as reply:
            data: bytes = reply.read(_LONGEST)
            return data
    except HTTPError as error:
        with error:
            raise ServerRefused(f"{url} refuses: {_sentence(error)}") from None
    except (URLError, HTTPException, OSError) as error:
        why = getattr(error, "reason", None) or error
        raise ServerAway(f"{url} does not answer ({why}): see whether it runs, and where.") from error


def _sentence(error: HTTPError) -> str:
    """What the server said, in its own words where they are ones that we know."""
    try:
        said = msgspec.json.decode(error.read(10_000), type=dict[str, Any]).get("error")
    except (msgspec.DecodeError, HTTPException, OSError):
        said = None
    return said if isinstance(said, str) else f"it answers with status {error.code}."
