"""The server's own pages for people: static files, read once, that ask nothing of any other server."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).parent / "page"

HEADERS = (
    # No inline script or style, and nothing from elsewhere: a column named <script> stays a name. A picture that a
    # person has chosen is shown from its own bytes (data:).
    (
        "content-security-policy",
        "default-src 'self'; img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
    ("x-content-type-options", "nosniff"),
    ("referrer-policy", "no-referrer"),
    ("cache-control", "no-cache"),
)
"""Headers that every page is sent with, besides its content type."""

_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
}
_ADDRESSES = {"index.html": "/", "docs.html": "/docs"}


@dataclass(frozen=True)
class Page:
    """A file as it is sent to a GET (with `HEADERS`)."""

    content_type: str
    body: bytes


def pages() -> Mapping[str, Page]:
    """Every page by its exact path: "/", "/docs", and "/page/NAME" for what those two load."""
    return {
        _ADDRESSES.get(file.name, f"/page/{file.name}"): Page(_TYPES[file.suffix], file.read_bytes())
        for file in sorted(FOLDER.iterdir())
        if file.suffix in _TYPES
    }
