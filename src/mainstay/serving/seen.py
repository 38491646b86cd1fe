"""What a request met on its way through a version, for who counts it."""

from __future__ import annotations

from time import perf_counter

from mainstay.models.answers import Answers


class Seen:
    """What came of one request."""

    __slots__ = ("_began", "answers", "error", "identity", "seconds")

    def __init__(self) -> None:
        self.answers: Answers | None = None
        self.identity: str | None = None
        """The prediction id, once the answer is written."""
        self.error: Exception | None = None
        """Why there are none, where somebody found that in our place."""
        self.seconds: float | None = None
        """That the model computed; None: it did not come to that."""
        self._began: float | None = None

    @property
    def key(self) -> int | None:
        """The place of the caller's key, where keys decide who has the candidate."""
        return None

    @property
    def computing(self) -> float | None:
        """Seconds that the model has computed until now."""
        return self.seconds if self._began is None or self.seconds is not None else perf_counter() - self._began

    def begin(self) -> None:
        """The model begins to compute."""
        self._began = perf_counter()

    def wait(self) -> None:
        """It does not yet."""
        self._began = None

    def take(self, answers: Answers) -> None:
        """The version's answers."""
        self.seconds = answers.seconds
        if self.seconds is None:
            self.seconds = 0.0 if self._began is None else perf_counter() - self._began
        self.answers = answers
