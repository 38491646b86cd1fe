"""The diff command: where two versions answer differently."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mainstay.cli.app import app
from mainstay.cli.output import Json, number, show, table

if TYPE_CHECKING:
    from rich.console import Console

    from mainstay.operations.diffing import Differences


@app.command("diff")
def diff(
    one: Annotated[str, typer.Argument(metavar="ONE", help="The version to compare from, such as credit:1.")],
    other: Annotated[str, typer.Argument(metavar="OTHER", help="The version to compare to, such as credit:2.")],
    data: Annotated[Path, typer.Argument(metavar="DATA", help="Rows to ask both: a file of a kind that train reads.")],
    *,
    slices: Annotated[
        str | None, typer.Option("--slices", help="Columns to count changes by, separated by commas.")
    ] = None,
    rows: Annotated[int, typer.Option("--rows", help="Show at most so many changed rows.", min=0)] = 20,
    as_json: Json = False,
) -> None:
    """Show the rows of DATA whose answer changes between two versions, by slice.

    Example: mainstay diff credit:1 credit:2 new.csv --slices purpose
    """
    from mainstay.operations.diffing import diff as run  # noqa: PLC0415

    found = run(Path.cwd(), one, other, data, slices=_names(slices), rows=rows)
    show(found, as_json=as_json, human=lambda out: _draw(out, found))


def _names(words: str | None) -> list[str] | None:
    return None if words is None else [name.strip() for name in words.split(",") if name.strip()]


def _draw(out: Console, found: Differences) -> None:
    out.print(f"{found.changed} of {found.rows} answers change from {found.one} to {found.other}.", markup=False)
    if found.changes:
        headers = ("row", found.one, found.other, "the new answer's score before", "and after")
        changes = [(c.row, c.before, c.after, number(c.score_before), number(c.score_after)) for c in found.changes]
        table(out, headers, changes, title="Changed rows, the largest change first")
    if found.slices:
        slices = [(s.column, s.value, s.rows, s.changed, f"{100 * s.share:.1f} %") for s in found.slices]
        table(out, ("column", "value", "rows", "changed", "share"), slices, title="By slice")
    if found.metrics:
        metrics = [(m.metric, number(m.one), number(m.other), number(m.difference)) for m in found.metrics]
        table(out, ("metric", found.one, found.other, "difference"), metrics, title="Where the target is known")
