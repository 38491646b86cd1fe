"""The compress command: a smaller model, where its loss can be borne."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mainstay.cli.app import app
from mainstay.cli.commands.catalogue import Ref
from mainstay.cli.output import Json, number, show, table
from mainstay.cli.progress import TerminalWatcher
from mainstay.errors import SAID_NO

if TYPE_CHECKING:
    from rich.console import Console

    from mainstay.operations.compressing import CompressedVersion
    from mainstay.operations.shrinking import Technique


@app.command("compress")
def compress(
    version: Ref,
    *,
    quantize: Annotated[
        bool, typer.Option("--quantize", help="Weights of matrix products and convolutions as 8-bit integers.")
    ] = False,
    float16: Annotated[bool, typer.Option("--float16", help="Weights in half precision.")] = False,
    prune_trees: Annotated[
        bool, typer.Option("--prune-trees", help="Fewer trees, and leaves merged that are nearly equal.")
    ] = False,
    max_loss: Annotated[
        float,
        typer.Option(
            "--max-loss",
            help="Of the metric: in its units where it lies between 0 and 1, else as a share of what it was.",
        ),
    ] = 0.005,
    metric: Annotated[
        str | None, typer.Option("--metric", help="To state the loss in; by default roc_auc, log_loss or rmse.")
    ] = None,
    name: Annotated[str | None, typer.Option("--name", help="Name of the model; by default, the version's.")] = None,
    data: Annotated[
        Path | None,
        typer.Option("--evaluate", metavar="DATA", help="Rows with true answers that it was not trained on."),
    ] = None,
    target: Annotated[str | None, typer.Option("--target", help="With --evaluate: the column of true answers.")] = None,
    gates: Annotated[
        list[str] | None, typer.Option("--gate", help='With --evaluate: such as "roc_auc >= 0.75"; may be repeated.')
    ] = None,
    as_json: Json = False,
) -> None:
    """Make an ONNX VERSION smaller, and register that as the next version only where its loss holds.

    Both are measured on rows that VERSION was not trained on: of the project's data, or of --evaluate.

    Example: mainstay compress credit:1 --prune-trees --max-loss 0.005
    """
    from mainstay.operations.compressing import Rows  # noqa: PLC0415
    from mainstay.operations.compressing import compress as run  # noqa: PLC0415

    asked: dict[Technique, bool] = {"quantize": quantize, "float16": float16, "prune_trees": prune_trees}
    with TerminalWatcher(quiet=as_json) as watcher:
        done = run(
            Path.cwd(),
            version,
            techniques=[technique for technique, wanted in asked.items() if wanted],
            max_loss=max_loss,
            metric=metric,
            name=name,
            rows=Rows(data=data, target=target, gates=gates or []),
            watch=watcher,
        )
    show(done, as_json=as_json, human=lambda out: _draw(out, done))
    if not done.passed:
        raise typer.Exit(SAID_NO)


def _draw(out: Console, done: CompressedVersion) -> None:
    told = done.compression
    loss, before, after = told.loss, told.before, told.after
    if done.version:
        rows = [
            ("bytes", f"{before.bytes:,}", f"{after.bytes:,}"),
            ("microseconds a row", f"{before.microseconds:.1f}", f"{after.microseconds:.1f}"),
            (loss.metric, number(loss.before), number(loss.after)),
        ]
        table(out, ("", done.source, done.version), rows, title=f"{done.version}, on {loss.rows} rows")
        out.print(f"Loss: {number(loss.value)}, {number(loss.low)} to {number(loss.high)} ({loss.unit}).", markup=False)
    tried = [
        (f"--{each.technique.replace('_', '-')}", "kept" if each.kept else "not kept", each.reason)
        for each in told.tried
    ]
    table(out, ("tried", "", "found"), tried, title="Tried")
    if done.gates:
        table(out, ("gate", "passed", "found"), [(g.text, g.passed, g.reason) for g in done.gates], title="Gates")
    for note in done.notes:
        out.print(f"Note: {note}", markup=False)
    if not done.version:
        out.print(done.reason, markup=False)
    elif done.passed:
        out.print(f"Report: {done.report}", markup=False)
        out.print(f"Next: mainstay deploy {done.version}", markup=False)
    else:
        out.print(f"{done.version} did not pass its gates: it cannot be deployed.", markup=False)
