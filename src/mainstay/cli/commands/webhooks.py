"""Commands about webhooks: deliver, list, retry."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Annotated

import typer

from mainstay.cli.app import app
from mainstay.cli.output import Json, show, table
from mainstay.errors import SAID_NO

webhooks = typer.Typer(
    name="webhooks",
    help="Tell other systems what happened, as [[webhooks]] in mainstay.toml says.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
app.add_typer(webhooks)


@webhooks.command("deliver")
def deliver(
    *,
    watch: Annotated[bool, typer.Option("--watch", help="Go on with what happens next, until Ctrl-C.")] = False,
    as_json: Json = False,
) -> None:
    """Tell each webhook of the events that are due for it.

    A running mainstay serve does this by itself. One process delivers at a time; another one waits for its turn.
    Exit code 1: something could not be delivered, and is tried again when this command runs later.

    Example: mainstay webhooks deliver --watch
    """
    from mainstay.operations.telling import deliver as run  # noqa: PLC0415
    from mainstay.operations.waiting import first_interrupt_sets  # noqa: PLC0415

    stop = threading.Event()

    def said(sentence: str, well: bool) -> None:
        if not (as_json and well):
            typer.echo(sentence, err=True)

    with first_interrupt_sets(stop, lambda: None):
        done = run(Path.cwd(), watch=watch, said=said, stop=stop)

    def human(out: object) -> None:
        if done.held_elsewhere:
            typer.echo("Another process is delivering; it tells what is due.")
        elif not watch:
            typer.echo(f"{done.delivered} delivered, {done.failed} failed, {done.given_up} given up.")

    show(done, as_json=as_json, human=human)
    if done.failed or done.given_up:
        raise typer.Exit(SAID_NO)


@webhooks.command("list")
def list_webhooks(*, as_json: Json = False) -> None:
    """List the webhooks, and how many events each was told, is to be told, and was given up on.

    Example: mainstay webhooks list
    """
    from mainstay.operations.telling import listed  # noqa: PLC0415

    found = listed(Path.cwd())
    rows = [
        (hook.url, ", ".join(hook.events) or "all", hook.pending, hook.delivered, hook.given_up, hook.error)
        for hook in found.webhooks
    ]
    headers = ("url", "events", "pending", "delivered", "given up", "last error")
    show(found, as_json=as_json, human=lambda out: table(out, headers, rows))


@webhooks.command("retry")
def retry(*, as_json: Json = False) -> None:
    """Try again what was given up, once the webhook's owner has mended it.

    Example: mainstay webhooks retry
    """
    from mainstay.operations.telling import retry as run  # noqa: PLC0415

    done = run(Path.cwd())
    show(done, as_json=as_json, human=lambda out: typer.echo(f"{done.again} event(s) are due again."))
