"""Commands that vouch for a version: keygen, sign."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mainstay.cli.app import app
from mainstay.cli.output import Json, show


@app.command("keygen")
def keygen(
    *,
    output: Annotated[Path, typer.Option("--output", help="File of the new private key; never overwritten.")] = Path(
        "key.pem"
    ),
    as_json: Json = False,
) -> None:
    """Make a key to sign versions with, and print its public half.

    Example: mainstay keygen --output key.pem
    """
    from mainstay.operations.signing import keygen as run  # noqa: PLC0415

    done = run(output)

    def human(out: object) -> None:
        typer.echo(f"Wrote {done.path}: keep it secret, and out of version control. Its public key:")
        typer.echo(done.public_key)

    show(done, as_json=as_json, human=human)


@app.command("sign")
def sign(
    version: Annotated[str, typer.Argument(metavar="VERSION", help="The version, such as credit:1.")],
    *,
    key: Annotated[Path, typer.Option("--key", help="File of the private key, as mainstay keygen wrote it.")],
    as_json: Json = False,
) -> None:
    """Sign VERSION: what it answers, and the model that it is a version of.

    Example: mainstay sign credit:1 --key key.pem
    """
    from mainstay.operations.signing import sign as run  # noqa: PLC0415

    done = run(Path.cwd(), version, key)
    show(done, as_json=as_json, human=lambda out: typer.echo(f"{done.version} is signed by {done.public_key}."))
