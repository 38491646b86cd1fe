"""Commands that look back and step back: history, rollback."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mainstay.cli.app import app
from mainstay.cli.commands.catalogue import Expect
from mainstay.cli.output import Json, Verbose, brief, say_servers, show, table

if TYPE_CHECKING:
    from rich.console import Console

    from mainstay.operations.history import Move

Model = Annotated[str, typer.Argument(metavar="MODEL", help="The model's name, such as credit.")]


@app.command("history")
def history(
    model: Model,
    *,
    alias: Annotated[
        str | None, typer.Option("--alias", help="Only this alias; champion is the deployed version.")
    ] = None,
    limit: Annotated[int, typer.Option("--limit", help="At most so many, the newest first.", min=1)] = 50,
    before: Annotated[
        int | None, typer.Option("--before", metavar="ID", help="Only older ones: as the page before said.", min=1)
    ] = None,
    verbose: Verbose = False,
    as_json: Json = False,
) -> None:
    """List where the aliases and the deployment of MODEL pointed, and how its rollouts went.

    Since when, by whom, from where, and why; and rollouts move by move, with what servers had seen by then.

    Example: mainstay history credit
    """
    from mainstay.operations.history import history as run  # noqa: PLC0415

    found = run(Path.cwd(), model, alias=alias, limit=limit, before=before)
    rows = [
        (
            f"{move.at:%Y-%m-%d %H:%M:%S} UTC",
            move.actor,
            f"{model}@{move.name}" if move.rollout is None else move.rollout.what,
            move.before or "nothing",
            move.after or "nothing",
            _why(move, verbose=verbose),
        )
        for move in found.moves
    ]

    def human(out: Console) -> None:
        table(out, ("when", "who", "what", "from", "to", "why"), rows)
        if found.next is not None:
            only = "" if alias is None else f" --alias {alias}"
            typer.echo(f"Older: mainstay history {model}{only} --limit {limit} --before {found.next}", err=True)

    show(found, as_json=as_json, human=human)


def _why(move: Move, *, verbose: bool) -> str:
    reason = move.reason if verbose or move.rollout is None else brief(move.reason)
    why = f"{reason} (override)".strip() if move.override else reason
    return why if move.rollout is None or not move.rollout.seen else f"{why} ({move.rollout.seen})".strip()


@app.command("rollback")
def rollback(
    model: Model,
    *,
    alias: Annotated[str, typer.Option("--alias", help="The alias; champion is the deployed version.")] = "champion",
    reason: Annotated[str, typer.Option("--reason", help="Why; kept with the event.")] = "",
    expect: Expect = None,
    timeout: Annotated[float, typer.Option("--timeout", help="Seconds to wait for running servers.", min=0.0)] = 60.0,
    as_json: Json = False,
) -> None:
    """Bring back the version that MODEL was served with before, or that an alias meant before; end a rollout.

    Where a rollout of MODEL runs, that is rolled back: its version is out of the traffic at once.

    A move by hand to what was just before is a step back too: from 1, 2, 1 there is none.

    Running servers switch without a restart; the command returns when every worker has acknowledged.

    Example: mainstay rollback credit --reason "complaints from branch 12"
    """
    from mainstay.operations.history import rollback as run  # noqa: PLC0415

    done = run(Path.cwd(), model, alias=alias, reason=reason, expecting=expect, timeout=timeout)

    def human(out: object) -> None:
        if done.rollout is not None:
            typer.echo(f"The rollout of {done.before} is rolled back: {done.version} answers all of {model}'s traffic.")
            say_servers(done.rollout.urls)
            return
        came_from = f", in place of {done.before}." if done.before else "."
        if done.deployed is None:
            typer.echo(f"{model}@{done.name} is {done.version} again{came_from}")
            return
        typer.echo(f"{done.version} is deployed again{came_from}")
        say_servers(done.deployed.urls, otherwise="No server is running. Next: mainstay up")

    show(done, as_json=as_json, human=human)
