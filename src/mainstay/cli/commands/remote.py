"""Commands that ask a server of another machine: models, load, unload."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mainstay.cli.app import app
from mainstay.cli.output import Json, show, table

remote = typer.Typer(
    name="remote",
    help="See and change what a server of another machine serves.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
app.add_typer(remote)

Url = Annotated[str, typer.Argument(metavar="URL", help="Where the server is, such as https://ml.example.org:8080.")]
Model = Annotated[str, typer.Argument(metavar="MODEL", help="The model, as its registry has it.")]
KeyFile = Annotated[
    Path | None,
    typer.Option("--key-file", help="File of an API key, mode 0600; by default the one that MAINSTAY_KEY_FILE names."),
]


@remote.command("models")
def models(url: Url, *, key_file: KeyFile = None, as_json: Json = False) -> None:
    """List the models of the server at URL.

    Example: mainstay remote models https://ml.example.org:8080 --key-file admin.key
    """
    from mainstay.operations.remote import listed  # noqa: PLC0415

    found = listed(url, key_file=key_file)
    rows = [(each.name, each.version, each.state, each.reason) for each in found.models]
    headers = ("model", "version", "state", "reason")
    show(found, as_json=as_json, human=lambda out: table(out, headers, rows))


@remote.command("load")
def load(url: Url, model: Model, *, key_file: KeyFile = None, as_json: Json = False) -> None:
    """Have the server at URL serve MODEL; takes a key with the verb manage.

    Example: mainstay remote load https://ml.example.org:8080 credit --key-file admin.key
    """
    _change(url, model, "load", "serves", key_file, as_json=as_json)


@remote.command("unload")
def unload(url: Url, model: Model, *, key_file: KeyFile = None, as_json: Json = False) -> None:
    """Have the server at URL end the serving of MODEL; takes a key with the verb manage.

    Example: mainstay remote unload https://ml.example.org:8080 credit --key-file admin.key
    """
    _change(url, model, "unload", "no longer serves", key_file, as_json=as_json)


def _change(url: str, model: str, verb: str, told: str, key_file: Path | None, *, as_json: bool) -> None:
    from mainstay.operations.remote import change  # noqa: PLC0415

    done = change(url, model, verb, key_file=key_file)
    show(done, as_json=as_json, human=lambda out: typer.echo(f"{done.url} {told} {done.model}."))
