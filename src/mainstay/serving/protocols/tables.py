"""Bodies that are tables, by Content-Type and Accept."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable

from mainstay.errors import MissingExtra
from mainstay.models.answers import Answers
from mainstay.serving.bodies import Asked
from mainstay.serving.columnar import messages
from mainstay.serving.columnar.cells import cells_of
from mainstay.serving.columnar.client import TooBig, missing
from mainstay.serving.columnar.messages import Read, Write
from mainstay.serving.frames import Block
from mainstay.serving.models import Loaded
from mainstay.serving.preferences import preferred
from mainstay.serving.protocols.codec import VERSION_HEADER, Headers, Problem, Written, kind_of
from mainstay.serving.protocols.csv_rows import read_csv, written
from mainstay.serving.protocols.desk import Desk
from mainstay.serving.protocols.outputs import Outputs
from mainstay.serving.strict import BadBody

CSV = "text/csv"
KINDS = (CSV, *messages.KINDS)
"""The content types."""
_JSON = ("application/json", "application/*", "*/*")


def accepted(accept: str) -> str | None:
    """The content type of a table that a caller prefers; None where JSON will do.

    Raises:
        Problem: nothing that is written here; 406.
    """
    absent: MissingExtra | None = None
    if not accept.strip(" \t,"):
        return None  # an empty list (RFC 9110, 5.6.1) asks for nothing
    for each in preferred(accept):
        kind = kind_of(each)
        if kind in _JSON:
            return None
        if kind in (CSV, "text/*"):
            return CSV
        if kind in messages.KINDS:
            absent = missing()
            if absent is None:
                return kind
    if absent is not None:
        raise Problem(406, str(absent))
    raise Problem(406, f"Nothing of {accept[:100]!r} is written here: accept application/json or {', '.join(KINDS)}.")


class Tables:
    """Reads and writes the tables of one version."""

    def __init__(self, loaded: Loaded, desk: Desk) -> None:
        self._reader, self._outputs, self._version = loaded.bodies.reader, Outputs(loaded), loaded.version
        self._columnar, self._pool = desk.columnar, desk.pool
        self._ignored = loaded.signature.set_aside

    def read(self, body: bytes, kind: str, form: str | None) -> Asked | Awaitable[Asked]:
        """The rows of a body of one of `KINDS`; `form` is that of the answer.

        Raises:
            BadBody, InputError, Problem: it does not fit.
        """
        if kind == CSV:
            return Asked(read_csv(body, self._reader), form=form)
        if (absent := missing()) is not None:
            raise Problem(415, str(absent))
        return self._read_columnar(body, kind, form)

    def write(self, answers: Answers, kind: str, identity: str) -> Written | Awaitable[Written]:
        """The answers as a table; version and prediction id go in headers.

        Raises:
            Problem: an output fits no cell.
        """
        headers = [("content-type", kind), ("x-content-type-options", "nosniff")]
        headers += [("x-request-id", identity), (VERSION_HEADER, self._version)]
        if kind == CSV:
            headers[0] = ("content-type", f"{kind}; charset=utf-8")
            return headers, written(self._outputs.table(answers))
        return self._write_columnar(answers, kind, identity, headers)

    async def _read_columnar(self, body: bytes, kind: str, form: str | None) -> Asked:
        try:
            done = await self._columnar.ask(Read(kind, body, self._ignored))
        except TooBig as error:
            raise Problem(413, str(error)) from error
        in_a_thread = asyncio.get_running_loop().run_in_executor
        return Asked(await in_a_thread(self._pool, cells_of, done.columns, self._reader), form=form)

    async def _write_columnar(self, answers: Answers, kind: str, identity: str, headers: Headers) -> Written:
        columns = {name: Block.of(array) for name, array in self._outputs.columns(answers).items()}
        about = {"model": self._version, "id": identity}
        try:
            done = await self._columnar.ask(Write(kind, columns, about))
        except (TooBig, BadBody) as error:  # an output that no table has a column for
            raise Problem(406, str(error)) from error
        return headers, done.data
