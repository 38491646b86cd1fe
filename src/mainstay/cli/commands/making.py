"""Commands that make versions: try, init, train."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mainstay.cli.app import app
from mainstay.cli.output import Json, number, show, table
from mainstay.cli.progress import TerminalWatcher
from mainstay.errors import SAID_NO

if TYPE_CHECKING:
    from rich.console import Console

    from mainstay.operations.initialising import Initialised
    from mainstay.operations.training import Trained

Target = Annotated[str, typer.Option("--target", help="The column to predict.")]
Name = Annotated[str | None, typer.Option("--name", help="Name of the model; by default, the data file's.")]
NoHeader = Annotated[bool, typer.Option("--no-header", help="The file has no line of column names; give --columns.")]
Columns = Annotated[str | None, typer.Option("--columns", help="Column names, separated by commas: label,text.")]
Separator = Annotated[str | None, typer.Option("--separator", help="Between fields; by default, detected.")]
Quote = Annotated[str | None, typer.Option("--quote", help='Around fields; "" for none; by default, detected.')]
Encoding = Annotated[str, typer.Option("--encoding", help="Of a text file.")]
Format = Annotated[
    str | None, typer.Option("--format", help="csv, tsv, jsonl or parquet; by default, as the file's name says.")
]
Query = Annotated[str | None, typer.Option("--query", help="SQL query, where DATA is a database URL.")]
Positive = Annotated[str | None, typer.Option("--positive", help="For two classes: the one to find.")]
Budget = Annotated[float | None, typer.Option("--budget", help="Seconds of search; else the project's.", min=0.1)]
Trials = Annotated[
    int | None, typer.Option("--trials", help="A fixed number of trials: same seed, same data, same model.", min=1)
]


@app.command("init")
def init(
    data: Annotated[str, typer.Argument(metavar="DATA", help="A file, a folder of files, or a database URL.")],
    *,
    target: Target,
    name: Name = None,
    no_header: NoHeader = False,
    columns: Columns = None,
    separator: Separator = None,
    quote: Quote = None,
    encoding: Encoding = "utf-8",
    kind: Format = None,
    query: Query = None,
    positive: Positive = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a mainstay.toml that is there.")] = False,
    as_json: Json = False,
) -> None:
    """Look at DATA and write mainstay.toml, commented, with what was inferred and why.

    Example: mainstay init credit.csv --target class
    """
    from mainstay.operations.initialising import initialise, source_of  # noqa: PLC0415

    source = source_of(
        data,
        header=not no_header,
        columns=columns,
        separator=separator,
        quote=quote,
        encoding=encoding,
        query=query,
        kind=kind,
    )
    done = initialise(Path.cwd(), source, target=target, name=name, positive=positive, force=force)
    show(done, as_json=as_json, human=lambda out: _draw_initialised(out, done))


@app.command("train")
def train(
    *,
    budget: Budget = None,
    trials: Trials = None,
    replay: Annotated[
        str | None, typer.Option("--replay", help="Fit the winner of a version again, such as credit:3.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Check the data, search for a model, evaluate it, hold it against its gates, package and register it.

    Ctrl-C ends the search and keeps the best so far; a second one ends without a version.

    Example: mainstay train --budget 60
    """
    from mainstay.operations.training import train as run  # noqa: PLC0415

    with TerminalWatcher(quiet=as_json) as watcher:
        done = run(Path.cwd(), budget=budget, trials=trials, replay=replay, watch=watcher)
    show(done, as_json=as_json, human=lambda out: _draw_trained(out, done, f"mainstay deploy {done.version}"))
    if not done.passed:
        raise typer.Exit(SAID_NO)


@app.command("try")
def try_out(
    data: Annotated[str, typer.Argument(metavar="DATA", help="A file, a folder of files, or a database URL.")],
    *,
    target: Target,
    name: Name = None,
    no_header: NoHeader = False,
    columns: Columns = None,
    separator: Separator = None,
    quote: Quote = None,
    encoding: Encoding = "utf-8",
    kind: Format = None,
    query: Query = None,
    positive: Positive = None,
    budget: Budget = None,
    trials: Trials = None,
    host: Annotated[str | None, typer.Option("--host", help="Address to listen on.")] = None,
    port: Annotated[
        int | None, typer.Option("--port", help="Port to listen on; 0 takes a free one.", min=0, max=65535)
    ] = None,
    once: Annotated[bool, typer.Option("--once", help="End when the search has ended.")] = False,
    as_json: Json = False,
) -> None:
    """From DATA to a served model in one go: a baseline answers within seconds, better versions replace it live.

    Ctrl-C ends the search; a second one ends the server.

    Example: mainstay try credit.csv --target class
    """
    from mainstay.operations.initialising import source_of  # noqa: PLC0415
    from mainstay.operations.trying import try_out as run  # noqa: PLC0415

    source = source_of(
        data,
        header=not no_header,
        columns=columns,
        separator=separator,
        quote=quote,
        encoding=encoding,
        query=query,
        kind=kind,
    )
    with TerminalWatcher(quiet=as_json) as watcher:
        done = run(
            Path.cwd(),
            source,
            target=target,
            name=name,
            positive=positive,
            budget=budget,
            trials=trials,
            host=host,
            port=port,
            once=once,
            watch=watcher,
        )
    show(done, as_json=as_json, human=lambda out: _draw_trained(out, done, "mainstay serve"))
    if not done.passed:
        raise typer.Exit(SAID_NO)


def _draw_initialised(out: Console, done: Initialised) -> None:
    out.print(f"{done.rows} rows, {len(done.columns) + len(done.left_out) + 1} columns: a {done.task} task.")
    table(out, ("column", "used as"), done.columns.items(), title="Inputs")
    if done.left_out:
        table(out, ("column", "left out, because"), done.left_out.items(), title="Left out")
    for note in done.notes:
        out.print(f"- {note}", markup=False)
    out.print(f"Wrote {done.path}. Next: mainstay train", markup=False)


def _draw_trained(out: Console, done: Trained, following: str) -> None:
    rows = [(name, number(m["value"]), number(m["low"]), number(m["high"])) for name, m in done.metrics.items()]
    table(out, ("metric", "value", "low", "high"), rows, title=f"{done.version}, on {done.test_rows} held-out rows")
    gates = [
        ({True: "passed", False: "FAILED", None: "does not apply"}[gate["passed"]], gate["text"], gate["reason"])
        for gate in done.gates
    ]
    table(out, ("gate", "condition", "found"), gates, title="Gates")
    for warning in done.warnings:
        out.print(f"Note: {warning}", markup=False)
    out.print(f"Model: {done.description}, served as {done.format}. {done.reason}".rstrip(), markup=False)
    out.print(f"Report: {done.report}", markup=False)
    if done.passed:
        out.print(f"Next: {following}", markup=False)
    else:
        out.print(f"{done.version} did not pass: it is kept for inspection and cannot be deployed.", markup=False)
