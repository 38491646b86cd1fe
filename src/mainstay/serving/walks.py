"""A request's way through one version while a candidate is tried.

It is that of `Plane.answer`, but that what it met is kept, to be counted, and that an error is raised, so that the
other version can answer.
"""

from __future__ import annotations

import asyncio
from time import perf_counter

from mainstay.errors import MainstayError
from mainstay.models.answers import Answers
from mainstay.models.signature import InputError
from mainstay.serving import budget
from mainstay.serving.bodies import Asked, BadBody
from mainstay.serving.comparing import fits
from mainstay.serving.patience import TIMEOUT, Caller, seconds_of, while_there
from mainstay.serving.plane import LONG_BODY, Plane, Target, takes_long
from mainstay.serving.protocols.codec import Given, Problem, Reply
from mainstay.serving.seen import Seen
from mainstay.serving.traces import Trace


class WrongShape(MainstayError):
    """A model gave answers that do not fit its signature."""


class Request:
    """What came, and who waits."""

    __slots__ = ("begun", "body", "caller", "given", "key", "long", "timeout", "trace")

    def __init__(
        self, body: bytes, given: Given, timeout: float | None, caller: Caller | None, trace: Trace | None
    ) -> None:
        self.body, self.given, self.timeout, self.caller, self.trace = body, given, timeout, caller, trace
        self.key: int | None = None
        """The place of the caller's key, where keys decide who has the candidate."""
        self.begun = perf_counter()
        self.long = len(body) > LONG_BODY

    @property
    def seconds(self) -> float:
        """Since it came."""
        return perf_counter() - self.begun


class Walk(Seen):
    """One version's part in a request, step by step: `read`, `ask_now`, then `ask_later` where that gave nothing, and
    `write`. Each may raise what the plane has an answer for."""

    __slots__ = ("_plane", "asked", "request", "target", "trace")

    def __init__(self, plane: Plane, target: Target, request: Request, asked: Asked | None = None) -> None:
        """`asked`: it was read before."""
        super().__init__()
        self._plane, self.target, self.request, self.asked = plane, target, request, asked
        self.trace = request.trace
        """Told of the steps, for as long as the request has no answer."""

    @property
    def key(self) -> int | None:
        return self.request.key

    @property
    def rows(self) -> int:
        return 0 if self.asked is None else len(self.asked.cells)

    async def read(self) -> Asked:
        """The request, as the version's codec reads it."""
        if self.asked is None:
            self._patience()  # whatever the model, nonsense is refused
            codec, request = self.target.codec, self.request
            if request.long:
                read = await self._plane.long_read(self.target, request.body, request.given)
            else:
                read = codec.read(request.body, request.given)
            self.asked = read if isinstance(read, Asked) else await read
        return self.asked

    def ask_now(self) -> None:
        """Asks the version where that takes no time."""
        assert self.asked is not None
        loaded = self.target.loaded
        if self.trace is not None:
            self.trace.step("model")
        if not self.rows:
            self.answers, self.seconds = loaded.nothing, 0.0
            return
        self.begin()
        answers = loaded.place.now(self.asked.cells, self.rows)
        if answers is None:
            self.wait()
            if self.trace is not None:
                self.trace.queue()
        else:
            self.take(answers)

    async def ask_later(self, caller: Caller | None) -> None:
        """Asks the version where it may take its time, for as long as the request has."""
        asking = self.asking(self.deadline())
        self.take(await (asking if caller is None else while_there(caller, asking)))

    def asking(self, deadline: float) -> asyncio.Future[Answers]:
        """Asks the version as `ask_later` does, but waits for nothing: what comes of it is to be taken."""
        assert self.asked is not None
        return self.target.loaded.place.later(self.asked.cells, deadline, self._asked_now)

    def deadline(self) -> float:
        """On the event loop's clock, when the time of the request is up."""
        assert self.asked is not None
        request, plane = self.request, self._plane
        budget.check(self.rows, self.target.loaded.signature, plane.max_body)
        return plane.deadline(request.begun, request.timeout, self.asked.timeout, self._patience())

    def _patience(self) -> float | None:
        """Seconds that the caller's header gives. Raises BadBody where it makes no sense."""
        return seconds_of(self.request.given.get(TIMEOUT))

    async def write(self) -> Reply:
        """The answer."""
        assert self.asked is not None
        assert self.answers is not None
        codec, request = self.target.codec, self.request
        if self.trace is not None:
            self.trace.step("write")
        self.identity = self._plane.identity(self.asked, request.given)
        said = self.answers, self.asked, self.identity
        if takes_long(self.answers, self.rows):
            written = await self._plane.aside(codec.write, *said)
        else:
            written = codec.write(*said)
        headers, body = written if isinstance(written, tuple) else await written
        return Reply(200, headers, body)

    def _asked_now(self) -> None:
        self.begin()
        if self.trace is not None:
            self.trace.asked()

    def check(self) -> None:
        """Raises WrongShape unless the answers fit the version's signature."""
        assert self.answers is not None
        if not fits(self.answers, self.rows, self.target.loaded.signature):
            self.answers = None
            raise WrongShape(f"{self.target.loaded.version} gave answers that do not fit its signature.")


def is_refusal(error: Exception) -> bool:
    """Whether an error is the caller's: what he sent cannot be answered."""
    return isinstance(error, InputError | BadBody | budget.TooManyRows) or (
        isinstance(error, Problem) and error.status < 500
    )
