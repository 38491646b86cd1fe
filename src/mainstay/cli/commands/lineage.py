"""The command that says where a version came from: lineage."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mainstay.cli.app import app
from mainstay.cli.output import Json, show


@app.command("lineage")
def lineage(
    version: Annotated[
        str, typer.Argument(metavar="VERSION", help="A version: credit:1, credit@champion, or credit for its newest.")
    ],
    *,
    svg: Annotated[Path | None, typer.Option("--svg", help="Also draw it into this file.")] = None,
    as_json: Json = False,
) -> None:
    """Show what VERSION was made from: data files with their hashes, code, configuration, seed, trials, libraries.

    Example: mainstay lineage credit:3 --svg credit-3.svg
    """
    from mainstay.operations.origins import lineage as run  # noqa: PLC0415
    from mainstay.operations.origins import picture, tree  # noqa: PLC0415

    found = run(Path.cwd(), version)
    if svg is not None:
        svg.write_text(picture(found.origin), encoding="utf-8")
    show(found, as_json=as_json, human=lambda out: typer.echo(tree(found.origin)))
