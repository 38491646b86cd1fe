"""The command that tells outcomes: labels."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mainstay.cli.app import app
from mainstay.cli.output import Json, show


@app.command("labels")
def labels(
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE", help="CSV with the columns id, value and maybe row, or a JSON object with them a line."
        ),
    ],
    *,
    url: Annotated[str, typer.Option("--url", help="Where the server is that answered.")] = "http://127.0.0.1:8080",
    model: Annotated[
        str | None, typer.Option("--model", help="The model that answered, where the server has several.")
    ] = None,
    key_file: Annotated[
        Path | None,
        typer.Option(
            "--key-file",
            help="File of an API key with the verb label; by default the one that MAINSTAY_KEY_FILE names.",
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Send the true outcomes of predictions in FILE to the server that answered.

    While a rollout runs, they count for or against its candidate; sent again, they change nothing.

    Example: mainstay labels outcomes.csv --model credit
    """
    from mainstay.operations.labels import send_labels  # noqa: PLC0415

    sent = send_labels(file, url=url, model=model, key_file=key_file)

    def human(out: object) -> None:
        rest = [f"{sent.repeated:,} had been before"]
        rest += [f"{sent.same_request:,} are of requests that count by another row"] if sent.same_request else []
        rest.append(f"{len(sent.unknown):,} are of rows that were not answered there while this rollout ran")
        typer.echo(f"{sent.counted:,} labels counted; {', '.join(rest)}.")

    show(sent, as_json=as_json, human=human)
