"""Bodies that are tables, by Content-Type and Accept."""

from __future__ import annotations

from mainstay.models.answers import Answers
from mainstay.models.signature import Cells
from mainstay.serving.models import Loaded
from mainstay.serving.protocols.codec import Headers, Problem, kind_of
from mainstay.serving.protocols.csv_rows import read_csv, written
from mainstay.serving.protocols.outputs import Outputs

CSV = "text/csv"
KINDS = (CSV,)
"""The content types."""
_JSON = ("application/json", "application/*", "*/*")


def accepted(accept: str) -> str | None:
    """The content type of a table that a caller prefers; None where JSON will do.

    Raises:
        Problem: nothing that is written here; 406.
    """
    ranked = sorted(accept.split(","), key=_quality, reverse=True)
    for each in ranked:
        kind = kind_of(each)
        if kind in _JSON and _quality(each) > 0:
            return None
        if (kind in KINDS or kind == "text/*") and _quality(each) > 0:
            return CSV if kind == "text/*" else kind
    raise Problem(406, f"Nothing of {accept[:100]!r} is written here: accept application/json or {', '.join(KINDS)}.")


def _quality(part: str) -> float:
    """The q of a part of Accept (RFC 9110, 12.4.2); 0 where it is none."""
    for parameter in part.split(";")[1:]:
        name, _, value = parameter.partition("=")
        if name.strip().lower() == "q":
            try:
                return float(value) if 0.0 <= float(value) <= 1.0 else 0.0
            except ValueError:
                return 0.0
    return 1.0


class Tables:
    """Reads and writes the tables of one version."""

    def __init__(self, loaded: Loaded) -> None:
        self._reader, self._outputs, self._version = loaded.bodies.reader, Outputs(loaded), loaded.version

    def read(self, body: bytes, content_type: str) -> Cells | None:
        """The rows of a body; None where its type is no table's.

        Raises:
            BadBody, InputError, Problem: it does not fit.
        """
        return read_csv(body, self._reader) if kind_of(content_type) == CSV else None

    def write(self, answers: Answers, kind: str, identity: str) -> tuple[Headers, bytes]:
        """The answers as a table; version and prediction id go in headers.

        Raises:
            Problem: an output fits no cell.
        """
        columns = self._outputs.table(answers)
        headers = [("content-type", f"{kind}; charset=utf-8"), ("x-content-type-options", "nosniff")]
        return [*headers, ("x-request-id", identity), ("x-model", self._version)], written(columns)
