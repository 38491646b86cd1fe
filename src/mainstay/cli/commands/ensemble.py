"""The command that makes one version of several: ensemble."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mainstay.cli.app import app
from mainstay.cli.output import Json, number, show, table
from mainstay.errors import SAID_NO, MainstayError

if TYPE_CHECKING:
    from rich.console import Console

    from mainstay.operations.ensembles import BlendedVersion


@app.command("ensemble")
def ensemble(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of the blend, under which it is registered.")],
    more: Annotated[
        list[str] | None, typer.Argument(metavar="VERSION...", help="Further parts, behind the one of --of.")
    ] = None,
    *,
    of: Annotated[
        list[str], typer.Option("--of", metavar="VERSION", help="The parts, such as credit:3 or credit@champion.")
    ],
    method: Annotated[
        str, typer.Option("--method", help="mean of probabilities or values, vote, weights, or stack.")
    ] = "mean",
    weights: Annotated[
        str | None, typer.Option("--weights", help="One a part, such as 0.7,0.3; by default they are fitted.")
    ] = None,
    target: Annotated[
        str | None, typer.Option("--target", help="What is predicted, where the parts call it by several names.")
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(
            "--evaluate",
            metavar="DATA",
            help="Rows with true answers that no part was trained on; else those of the project's data.",
        ),
    ] = None,
    gates: Annotated[
        list[str] | None, typer.Option("--gate", help='Such as "roc_auc >= 0.75"; may be repeated.')
    ] = None,
    threshold: Annotated[
        float | None, typer.Option("--threshold", help="For two classes: positive from this probability on.")
    ] = None,
    positive: Annotated[str | None, typer.Option("--positive", help="For two classes: the one to find.")] = None,
    as_json: Json = False,
) -> None:
    """Make one version of several: their answers combined, as one graph where they are ONNX, with its own evaluation.

    Weights that are not given, and a stack, are fitted on rows that no part was trained on, and judged on others.

    Example: mainstay ensemble credit-blend --of credit:3 churn:2 --method mean
    """
    from mainstay.operations.ensembles import ensemble as run  # noqa: PLC0415

    if len(of) > 1 and more:
        raise MainstayError("Name all parts behind one --of, or each behind one of its own: their order counts.")
    done = run(
        Path.cwd(),
        name,
        [*of, *(more or [])],
        method=method,
        weights=None if weights is None else _numbers(weights),
        target=target,
        data=data,
        gates=gates or [],
        threshold=threshold,
        positive=positive,
    )
    show(done, as_json=as_json, human=lambda out: _draw(out, done))
    if done.metrics and not done.passed:
        raise typer.Exit(SAID_NO)


def _numbers(words: str) -> list[float]:
    try:
        return [float(word) for word in words.split(",")]
    except ValueError:
        raise MainstayError(f"--weights {words} is no list of numbers: write 0.7,0.3, for example.") from None


def _draw(out: Console, done: BlendedVersion) -> None:
    one = "one ONNX graph" if done.format == "onnx" else "its parts, asked one by one"
    out.print(
        f"{done.version}: {done.method} of {len(done.parts)} parts, {len(done.inputs)} inputs, {one}.", markup=False
    )
    if done.rows:
        out.print(f"Judged on {done.rows} rows that no part was trained on.", markup=False)
    if any(part.weight is not None for part in done.parts):
        table(out, ("part", "weight"), [(part.version, number(part.weight)) for part in done.parts])
    if done.metrics:
        names = [part.version for part in done.parts]
        rows = [
            (
                metric,
                number(found["value"]),
                *(number(part.metrics.get(metric, {}).get("value")) for part in done.parts),
            )
            for metric, found in done.metrics.items()
        ]
        table(out, ("metric", done.version, *names), rows, title="Beside its parts")
        table(out, ("gate", "passed", "found"), [(g.text, g.passed, g.reason) for g in done.gates], title="Gates")
    for note in done.notes:
        out.print(f"Note: {note}", markup=False)
    if done.report:
        out.print(f"Report: {done.report}", markup=False)
    if done.passed:
        out.print(f"Next: mainstay deploy {done.version}", markup=False)
