"""Commands that bring models in from other programs, and take them out: import and export."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mainstay.cli.app import app
from mainstay.cli.commands.catalogue import Ref
from mainstay.cli.output import Json, number, show, table
from mainstay.errors import SAID_NO

if TYPE_CHECKING:
    from rich.console import Console

    from mainstay.operations.importing import ImportedVersion


@app.command("import")
def import_model(
    path: Annotated[
        Path,
        typer.Argument(metavar="PATH", help="A model's file, or a folder: of MLflow, of export, of a Python class."),
    ],
    *,
    name: Annotated[str, typer.Option("--name", help="Name of the model.")],
    columns: Annotated[
        str | None, typer.Option("--columns", help="Names of the inputs, separated by commas, where the file has none.")
    ] = None,
    labels: Annotated[
        str | None, typer.Option("--labels", help="Names of the classes in their order, separated by commas.")
    ] = None,
    nullable: Annotated[
        str | None,
        typer.Option("--nullable", help="ONNX: columns that may be missing, separated by commas; * for all."),
    ] = None,
    target: Annotated[str | None, typer.Option("--target", help="The column that is predicted.")] = None,
    general: Annotated[
        bool, typer.Option("--general", help="Answer the model's outputs as they are: it has no classes, no one value.")
    ] = False,
    logits: Annotated[
        bool, typer.Option("--logits", help="What the model gives for its classes are logits, not probabilities.")
    ] = False,
    data: Annotated[
        Path | None, typer.Option("--evaluate", metavar="DATA", help="Rows with true answers, to evaluate it on.")
    ] = None,
    gates: Annotated[
        list[str] | None, typer.Option("--gate", help='With --evaluate: such as "roc_auc >= 0.75"; may be repeated.')
    ] = None,
    positive: Annotated[str | None, typer.Option("--positive", help="For two classes: the one to find.")] = None,
    as_json: Json = False,
) -> None:
    """Register a model of another program: ONNX, PMML, XGBoost, LightGBM, CatBoost, Keras, TensorFlow, MLflow.

    Nothing in it is run as code, but for a Python class that the operator trusts. What is not evaluated has passed no
    gate, and is deployed by an override alone.

    Example: mainstay import model.onnx --name credit --labels bad,good
    """
    from mainstay.operations.importing import import_file  # noqa: PLC0415

    done = import_file(
        Path.cwd(),
        path,
        name=name,
        columns=_names(columns),
        labels=_names(labels),
        nullable=_names(nullable),
        general=general,
        logits=logits,
        target=target,
        data=data,
        gates=gates or [],
        positive=positive,
    )
    show(done, as_json=as_json, human=lambda out: _draw(out, done))
    if data is not None and not done.passed:
        raise typer.Exit(SAID_NO)


@app.command("export")
def export_version(
    version: Ref,
    *,
    kind: Annotated[str, typer.Option("--format", help="onnx, pmml, mlflow or native.")],
    output: Annotated[Path, typer.Option("--output", help="The file (mlflow, native: the folder) to write.")],
    as_json: Json = False,
) -> None:
    """Write VERSION for other programs: an ONNX or PMML file with raw columns, a folder for MLflow, or its own files.

    Example: mainstay export credit:1 --format pmml --output credit.pmml
    """
    from mainstay.operations.exporting import export  # noqa: PLC0415

    done = export(Path.cwd(), version, kind=kind, output=output)
    show(
        done,
        as_json=as_json,
        human=lambda out: out.print(f"{done.version} is in {done.output} ({done.bytes:,} bytes).", markup=False),
    )


def _names(words: str | None) -> list[str]:
    return [] if words is None else [name.strip() for name in words.split(",") if name.strip()]


def _draw(out: Console, done: ImportedVersion) -> None:
    out.print(f"{done.version}: {done.description}, {len(done.inputs)} inputs.", markup=False)
    if done.largest_difference is not None:
        out.print(f"Largest difference from its own library: {done.largest_difference:.2g}", markup=False)
    if done.metrics:
        rows = [(n, number(m["value"]), number(m["low"]), number(m["high"])) for n, m in done.metrics.items()]
        table(out, ("metric", "value", "low", "high"), rows)
        table(out, ("gate", "passed", "found"), [(g.text, g.passed, g.reason) for g in done.gates], title="Gates")
    for note in done.notes:
        out.print(f"Note: {note}", markup=False)
