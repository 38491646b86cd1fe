"""The command that has systemd run a project's server: install-service."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mainstay.cli.app import app
from mainstay.cli.output import Json, show


@app.command("install-service")
def install_service(
    *,
    user: Annotated[
        str | None,
        typer.Option("--user", metavar="NAME", help="Who the server runs as; else the folder's owner."),
    ] = None,
    printed: Annotated[bool, typer.Option("--print", help="Print the units, and write nothing.")] = False,
    into: Annotated[Path, typer.Option("--dir", help="The folder of systemd's units.")] = Path("/etc/systemd/system"),
    force: Annotated[bool, typer.Option("--force", help="Replace units that say something else.")] = False,
    as_json: Json = False,
) -> None:
    """Write the systemd units that run the server of this folder for good, shut in as far as it goes.

    A socket that holds the port while the server is restarted, and a service that may write into the project alone.

    Example: mainstay install-service --user mainstay
    """
    from mainstay.operations.installing_service import install_service as run  # noqa: PLC0415

    done = run(Path.cwd(), user=user, into=into, printed=printed, force=force)

    def human(out: object) -> None:
        if done.folder is None:
            for name, text in done.units.items():
                typer.echo(f"# {name}\n{text}")
            return
        names = " and ".join(done.units)
        typer.echo(f"{names} {'are' if done.changed else 'were already'} in {done.folder}, to run as {done.user}.")
        typer.echo(f"Next: {done.enable}")

    show(done, as_json=as_json, human=human)
