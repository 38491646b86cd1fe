"""Commands about API keys: create, list, rotate, revoke, forget."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mainstay.cli.app import app
from mainstay.cli.output import Json, show, table

if TYPE_CHECKING:
    from mainstay.operations.keys import NewKey

keys = typer.Typer(
    name="keys",
    help="Say who may ask the servers of this project, and for what.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
app.add_typer(keys)

Name = Annotated[str, typer.Argument(metavar="NAME", help="The key's name.")]
Output = Annotated[
    Path | None,
    typer.Option("--output", help="File for the key, which its owner alone may read, in place of printing it."),
]


@keys.command("create")
def create(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Who will have the key; events say so.")],
    *,
    models: Annotated[
        str, typer.Option("--models", help="Models that it is for, parted by commas; * stands for any characters.")
    ] = "*",
    verbs: Annotated[
        str,
        typer.Option("--verbs", help="What it may do: predict, read (metadata, metrics, documents), label, manage."),
    ] = "predict,read",
    expires: Annotated[
        str | None, typer.Option("--expires", help="When it ends, such as 90d, 12h or 30m from now; else never.")
    ] = None,
    rate: Annotated[
        float | None, typer.Option("--rate", help="Requests a second that a server answers it; else any number.")
    ] = None,
    burst: Annotated[
        int | None, typer.Option("--burst", help="Of them, how many at once; by default, those of a second.", min=1)
    ] = None,
    output: Output = None,
    as_json: Json = False,
) -> None:
    """Make an API key for NAME, and print it: this once, and never again.

    From the first key on, servers of this project answer nobody without one, but for their health.

    Example: mainstay keys create billing --models credit --expires 90d
    """
    from mainstay.operations.keys import create as run  # noqa: PLC0415

    made = run(
        Path.cwd(),
        name,
        models=models,
        verbs=verbs,
        expires=expires,
        rate=rate,
        burst=burst,
        output=output,
    )
    _show(made, as_json=as_json)


@keys.command("list")
def list_keys(*, as_json: Json = False) -> None:
    """List the keys: what each is for, and whether it still is.

    Example: mainstay keys list
    """
    from mainstay.operations.keys import listed  # noqa: PLC0415

    found = listed(Path.cwd())
    rows = [
        (
            key.name,
            key.status,
            ", ".join(key.models),
            ", ".join(key.verbs),
            "" if key.rate is None else f"{key.rate:g}/s",
            "never" if key.expires_at is None else f"{key.expires_at:%Y-%m-%d %H:%M}",
            f"{key.created_at:%Y-%m-%d}",
            key.actor,
        )
        for key in found.keys
    ]
    headers = ("name", "status", "models", "verbs", "rate", "expires (UTC)", "created", "by")
    show(found, as_json=as_json, human=lambda out: table(out, headers, rows))


@keys.command("rotate")
def rotate(
    name: Name,
    *,
    grace: Annotated[
        str, typer.Option("--grace", help="How long the old secret goes on, such as 12h; 0: not at all.")
    ] = "1d",
    output: Output = None,
    as_json: Json = False,
) -> None:
    """Give the key of NAME a new secret, and print it; the old one goes on for a while.

    Example: mainstay keys rotate billing --grace 12h
    """
    from mainstay.operations.keys import rotate as run  # noqa: PLC0415

    _show(run(Path.cwd(), name, grace=grace, output=output), as_json=as_json)


@keys.command("revoke")
def revoke(
    name: Name,
    *,
    reason: Annotated[str, typer.Option("--reason", help="Why; kept with the event.")] = "",
    as_json: Json = False,
) -> None:
    """End the key of NAME at once and for good.

    Servers go on asking for a key, also where it was the last one.

    Example: mainstay keys revoke billing --reason "left the company"
    """
    from mainstay.operations.keys import revoke as run  # noqa: PLC0415

    done = run(Path.cwd(), name, reason=reason)
    show(done, as_json=as_json, human=lambda out: typer.echo(f"The key of {done.name} is revoked."))


@keys.command("forget")
def forget(name: Name, *, as_json: Json = False) -> None:
    """Remove what is kept of the revoked key of NAME; without any key left, servers answer everybody again.

    Example: mainstay keys forget billing
    """
    from mainstay.operations.keys import forget as run  # noqa: PLC0415

    done = run(Path.cwd(), name)

    def human(out: object) -> None:
        typer.echo(f"The key of {done.name} is forgotten.")
        if not done.left:
            typer.echo("No key is left: servers of this project answer everybody again.")

    show(done, as_json=as_json, human=human)


def _show(made: NewKey, *, as_json: bool) -> None:
    def human(out: object) -> None:
        if made.key is not None:
            typer.echo("Keep this key, it is not shown again:", err=True)
            typer.echo(made.key)
        else:
            typer.echo(f"The key is in {made.path}, and nowhere else.")
        if made.first:
            typer.echo("It is the first key: from now on, servers of this project answer nobody without one.", err=True)
        if made.previous_until is not None:
            typer.echo(f"The old secret goes on until {made.previous_until:%Y-%m-%d %H:%M} UTC.", err=True)

    show(made, as_json=as_json, human=human)
