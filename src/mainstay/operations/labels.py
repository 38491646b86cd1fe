"""`mainstay labels`: the outcomes of predictions, from a file to a server."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any
from urllib.parse import quote

import msgspec

from mainstay.errors import MainstayError
from mainstay.operations.remote import BadServerUrl, post
from mainstay.serving.predictions.bodies import MOST


class BadLabelsFile(MainstayError):
    """A file of labels cannot be read."""


class Unknown(msgspec.Struct, frozen=True, kw_only=True):
    """A row that the server has not answered while this rollout ran."""

    id: str
    row: int


class Sent(msgspec.Struct, frozen=True, kw_only=True):
    """What became of labels."""

    counted: int = 0
    repeated: int = 0
    """Counted before; nothing changes."""
    same_request: int = 0
    """Of a request that counts by another of its rows."""
    unknown: list[Unknown] = []


def send_labels(file: Path, *, url: str, model: str | None = None, key_file: Path | None = None) -> Sent:
    """Sends the labels of a file, up to 2,000 a request. Sent again, they change nothing.

    Args:
        file: CSV with the columns id, value and, where requests have several rows, row; or a JSON object a line.
        url: of the server that answered.
        model: that answered; None: the server has one alone.
        key_file: file of an API key with the verb `label`; by default the one that MAINSTAY_KEY_FILE names.

    Raises:
        BadLabelsFile, BadKeyFile, BadServerUrl; ServerRefused, ServerAway. Labels before the one that is refused are
        counted.
    """
    path = "/labels" if model is None else f"/models/{quote(model, safe='')}/labels"
    total = Sent()
    for labels in _parts(_labels(file)):
        said = post(url, path, key_file, msgspec.json.encode({"labels": labels}))
        try:
            part = msgspec.json.decode(said, type=Sent)
        except msgspec.DecodeError as error:
            raise BadServerUrl(f"What answers at {url} takes no labels: name another URL.") from error
        total = Sent(
            counted=total.counted + part.counted,
            repeated=total.repeated + part.repeated,
            same_request=total.same_request + part.same_request,
            unknown=[*total.unknown, *part.unknown],
        )
    return total


def _parts(labels: Iterator[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    while part := list(islice(labels, MOST)):
        yield part


def _labels(file: Path) -> Iterator[dict[str, Any]]:
    at = 0
    try:
        with file.open(encoding="utf-8-sig", newline="") as lines:
            if file.suffix.lower() == ".csv":
                for at, cells in enumerate(csv.DictReader(lines, strict=True), start=2):  # noqa: B007 - told of an error
                    yield _of_cells(cells)
            else:
                for at, line in enumerate(lines, start=1):  # noqa: B007 - told of an error
                    if line.strip():
                        yield msgspec.json.decode(line, type=dict[str, Any])
    except OSError as error:
        raise BadLabelsFile(f"{file} cannot be read: {error.strerror}.") from error
    except (ValueError, KeyError, csv.Error) as error:  # of which what is no JSON or no UTF-8 is one
        raise BadLabelsFile(
            f"Line {at or 1} of {file} is no label ({error}): write a CSV file with the columns id, row and value, or "
            'a line such as {"id": "…", "row": 0, "value": "good"} for each.'
        ) from error


def _of_cells(cells: dict[str, Any]) -> dict[str, Any]:
    if None in cells or None in cells.values():
        raise ValueError("another number of columns than the first line has")
    return {"id": cells["id"], "row": int(cells.get("row") or 0), "value": cells["value"]}
