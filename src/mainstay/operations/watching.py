"""What a long operation says while it runs; who listens decides how it looks."""

from __future__ import annotations

from typing import Protocol


class Watcher(Protocol):
    """Told of progress. Every call returns at once and never fails the work."""

    def stage(self, text: str) -> None:
        """A new part of the work begins."""

    def note(self, text: str) -> None:
        """Something worth a line."""

    def progress(self, share: float | None, text: str) -> None:
        """`share` of the part is done, 0 to 1 (None where it cannot be told); `text` says what is going on."""


class Silent:
    """Listens and says nothing."""

    def stage(self, text: str) -> None: ...

    def note(self, text: str) -> None: ...

    def progress(self, share: float | None, text: str) -> None: ...
