"""What answers HTTP: finds what a path asks for, and hands predictions to the data plane.

One object a worker, called by granian (RSGI).
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from time import perf_counter
from typing import Any, Protocol

from mainstay.models.answers import Answers
from mainstay.serving import metrics
from mainstay.serving.bounded import BodyReader, NoBody
from mainstay.serving.compressed import Inflater, coding_of
from mainstay.serving.door import Door, no_form, one_host, shared
from mainstay.serving.follower import LOOK_EVERY, Follower
from mainstay.serving.giving_way import threads_give_way
from mainstay.serving.guard import Guard
from mainstay.serving.logs import Log, place_of
from mainstay.serving.management import joined, passed_on
from mainstay.serving.models import Loaded
from mainstay.serving.plane import LONGEST_WAIT, Plane, Target
from mainstay.serving.predictions.bodies import told
from mainstay.serving.predictions.messages import Labels
from mainstay.serving.protocols.codec import DONE, JSON_HEADERS, PREDICT, At, Dialect, Given, Headers, Reply, Wish
from mainstay.serving.protocols.desk import Desk
from mainstay.serving.protocols.mlflow import Mlflow
from mainstay.serving.protocols.open_inference.dialect import OpenInference
from mainstay.serving.protocols.plain import Plain
from mainstay.serving.protocols.tf_serving import TfServing
from mainstay.serving.split import Split
from mainstay.serving.trials import Trial
from mainstay.serving.trying import Trials
from mainstay.serving.way_out import closing

ASK_PERSON = ("www-authenticate", 'Basic realm="mainstay", charset="UTF-8"')
"""Has a browser ask for a user, who does not matter, and a password, which is the key."""


class Scope(Protocol):
    """What granian says of a request."""

    method: str
    path: str

    @property
    def headers(self) -> Any: ...


class Proto(Protocol):
    """How granian takes a body in and an answer out."""

    def __aiter__(self) -> Any: ...

    def client_disconnect(self) -> Any: ...

    def response_bytes(self, status: int, headers: Headers, body: bytes) -> None: ...


class App:
    """The routes of a worker."""

    def __init__(
        self,
        follower: Follower,
        slots: metrics.Slots,
        guard: Guard,
        door: Door,
        *,
        run: Path,
        max_body: int,
        log: Log,
        timeout: float = LONGEST_WAIT,
        beside: tuple[Dialect, ...] = (),
    ) -> None:
        """`max_body` in bytes, `timeout` of a request in seconds; `beside` are the protocols of other ports, whose
        targets are found here too."""
        self.follower, self.guard, self.door, self.log = follower, guard, door, log
        self.reader = BodyReader(at_most=max_body)
        self.desk = Desk(follower, run, max_body=max_body)
        self.desk.closed = lambda: not guard.open
        self.bodies = ThreadPoolExecutor(max_workers=2, thread_name_prefix="body")
        """Reads and writes what is long; not the pool of the models, for nobody's body waits for a slow model."""
        self.inflater = Inflater(self.bodies, at_most=max_body)
        self.plane = Plane(slots, pool=self.bodies, log=log, max_body=max_body, timeout=timeout)
        # The first that claims a path has it; the plain one claims what is left.
        self._dialects: tuple[Dialect, ...] = (
            OpenInference(self.desk),
            TfServing(self.desk),
            Mlflow(self.desk),
            Plain(self.desk),
            *beside,
        )
        self._edition = -1
        self.answers = 0
        """How many requests have been answered."""
        self._close_every = self._close_at = sys.maxsize
        self._targets: dict[str, Target] = {}
        self._trials, self._late = Trials(follower, log), set[asyncio.Future[Answers]]()

    def close_one_in(self, answers: int) -> None:
        """Closes a connection with every so many-th answer."""
        self._close_every = self._close_at = answers

    def part(self) -> None:
        """From here on the server is not ready, and each connection ends with its next answer."""
        self.desk.draining = True
        self._close_every = self._close_at = 0

    def __rsgi_init__(self, loop: asyncio.AbstractEventLoop) -> None:
        """granian says that it is about to start its threads."""
        threads_give_way(loop)

    def __rsgi__(self, scope: Scope, proto: Proto) -> Coroutine[Any, Any, None]:
        """Answers one request, once what it returns is awaited."""
        path, given = scope.path, scope.headers
        hosts = given.get_all("host")
        if len(hosts) > 1 or not self.door.passes(hosts[0] if hosts else None, given.get("origin")):
            return self._at_the_door(scope, proto, path)
        return self._passed(scope, given, proto, path)

    def _passed(self, scope: Scope, given: Given, proto: Proto, path: str) -> Coroutine[Any, Any, None]:
        target = self.target(path)
        if target is not None and scope.method == "POST":
            return self._predict(given, proto, target)
        return self._other(scope, proto, path)

    def target(self, path: str) -> Target | None:
        """What predicts at a path; None: nothing does."""
        if self.follower.edition != self._edition:
            self.learn()
        return self._targets.get(path)

    def learn(self) -> None:
        """Notes what answers where, so that a request need not work it out; lets go of what does not any more."""
        if self.follower.edition == self._edition and not self._trials.due:
            return
        targets: dict[str, Target] = {}
        for loaded in self.desk.all_versions():
            try:
                targets |= self._targets_of(loaded, self.desk.at(loaded))
            except Exception as error:  # noqa: BLE001 - what is wrong with one version must not touch the others
                self.log("fault", f"{loaded.version} has no paths: {place_of(error)}.", level="error")
        for trial in self._trials.now():
            targets |= self._split(trial)
        self._targets, self._edition = targets, self.follower.edition

    def _split(self, trial: Trial) -> dict[str, Target]:
        """What predicts where a version and a candidate share the requests: at the paths that name neither."""
        serving = self.follower.serving[trial.stable.model]
        at = self.desk.at(serving)._replace(labels=())
        ours, theirs = self._targets_of(trial.stable, at), self._targets_of(trial.candidate, at)
        return {
            path: replace(
                ours[path], split=Split(self.plane, trial, stable=ours[path], candidate=theirs[path], late=self._late)
            )
            for path in ours.keys() & theirs.keys()
        }

    def _targets_of(self, loaded: Loaded, at: At) -> dict[str, Target]:
        return {
            path: self.plane.target(loaded, dialect, codec)
            for dialect in self._dialects
            for path, codec in dialect.codecs(loaded, at).items()
        }

    async def _at_the_door(self, scope: Scope, proto: Proto, path: str) -> None:
        """Looks at a request more closely; one that a page of others may have sent is refused."""
        given, dialect = scope.headers, self._dialect(path)
        origin = given.get("origin")
        try:
            one_host(given.get_all("host"))
            if dialect.need(path) is not None:  # health is anybody's, under any name
                self.door.check_host(given.get("host"))
            self.door.check_page(given)
            shares = self.door.shares(origin)
            asks_first = shares and scope.method == "OPTIONS" and given.get("access-control-request-method") is not None
            reply = self.door.preflight(given) if asks_first else None
        except Exception as error:  # noqa: BLE001 - a fault of ours must not take the connection along
            reply = self.plane.refused(dialect, error)
        if reply is None:
            await self._passed(scope, given, shared(proto, origin) if shares else proto, path)
        else:
            self._send(proto, reply, reply.body)

    def _dialect(self, path: str) -> Dialect:
        return next(each for each in self._dialects if each.claims(path))

    async def _predict(self, given: Given, proto: Proto, target: Target) -> None:
        plane = self.plane
        plane.entered(target)
        try:
            self.guard.require(given, PREDICT, target.loaded.model)
            body = await self.reader.read(proto, given.get("content-length"))
            if given.get("content-encoding") is None:
                reply = await plane.answer(target, body, given, caller=proto)
            else:
                reply = await self._predict_compressed(given, proto, target, body)
        except NoBody:
            return  # nobody is there to be answered
        except Exception as error:  # noqa: BLE001 - every error has an answer
            reply = plane.refuse(target, error)
        finally:
            plane.left(target)
        self._send(proto, reply, reply.body)

    async def _predict_compressed(self, given: Any, proto: Proto, target: Target, body: bytes) -> Reply:
        begun, within = perf_counter(), self.plane.timeout
        coding = coding_of(given.get_all("content-encoding"))
        if coding is None:
            return await self.plane.answer(target, body, given, caller=proto)
        async with self.inflater.whole(body, coding, within=within, caller=proto) as whole:
            left = within - (perf_counter() - begun)
            return await self.plane.answer(target, whole, given, timeout=left, caller=proto)

    async def _body(self, given: Any, proto: Proto) -> bytes:
        """What a request has sent that predicts nothing."""
        body = await self.reader.read(proto, given.get("content-length"))
        coding = coding_of(given.get_all("content-encoding"))
        if coding is None:
            return body
        async with self.inflater.whole(body, coding, within=self.plane.timeout, caller=proto) as whole:
            return whole

    async def _other(self, scope: Scope, proto: Proto, path: str) -> None:
        """Answers what is no prediction, or cannot be one."""
        begun, method, given = perf_counter(), scope.method, scope.headers
        dialect = self._dialect(path)
        try:
            need, body = dialect.need(path), b""
            self.door.check_page(given)
            caller = None if need is None else self.guard.require(given, *need)
            if method == "POST" and not path.endswith(dialect.verb):
                no_form(given.get("content-type"))
            if method == "POST" and dialect.takes_body(path):
                body = await self._body(given, proto)
            answer = dialect.other(method, path, body, given)
            if isinstance(answer, Wish):
                await passed_on(answer, self.desk.control, caller=caller)
                reply = Reply(200, JSON_HEADERS, DONE)
            elif isinstance(answer, Labels):
                reply = Reply(200, JSON_HEADERS, told(answer, await joined(answer, self.desk.control)))
            else:
                reply = answer
        except NoBody:
            return
        except Exception as error:  # noqa: BLE001 - a fault of ours must not take the connection along
            if path.endswith(dialect.verb):
                asked = dialect.need(path)
                known = asked.model if asked is not None and asked.model in self.desk.names else ""
                reply = self.plane.refuse_unrouted(
                    dialect, error, given, seconds=perf_counter() - begun, model=known or ""
                )
            else:
                reply = self.plane.refused(dialect, error)
            if reply.status == 401 and "text/html" in given.get("accept", ""):
                reply.headers.append(ASK_PERSON)
        self._send(proto, reply, b"" if method == "HEAD" else reply.body)

    def _send(self, proto: Proto, reply: Reply, body: bytes) -> None:
        headers = reply.headers
        self.answers += 1
        if self.answers >= self._close_at:
            self._close_at = self.answers + self._close_every
            headers = closing(headers)
        proto.response_bytes(reply.status, headers, body)


async def follow(app: App) -> None:
    """Keeps an app's versions up to date for ever; a fault is told and survived."""
    while True:
        try:
            await app.follower.catch_up()
            app.learn()
        except Exception as error:  # noqa: BLE001 - what answers must go on answering
            app.log("fault", f"Following the routing table failed with {place_of(error)}.", level="error")
            await asyncio.sleep(1.0)
        await asyncio.sleep(LOOK_EVERY)
