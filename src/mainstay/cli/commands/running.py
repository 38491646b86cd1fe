"""Commands that put versions to work: deploy, undeploy, serve, up, controller."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mainstay.cli import serving
from mainstay.cli.app import app
from mainstay.cli.commands.catalogue import Expect
from mainstay.cli.output import Json, say_servers, show
from mainstay.errors import SAID_NO

if TYPE_CHECKING:
    from mainstay.operations.rollouts import Started

Timeout = Annotated[float, typer.Option("--timeout", help="Seconds to wait for running servers.", min=0.0)]


@app.command("deploy")
def deploy(
    version: Annotated[str, typer.Argument(metavar="VERSION", help="The version to serve, such as credit:1.")],
    *,
    reason: Annotated[str, typer.Option("--reason", help="Why; kept with the event.")] = "",
    override: Annotated[
        bool, typer.Option("--override", help="Deploy a version that failed a gate; needs --reason, and is recorded.")
    ] = False,
    beside: Annotated[
        bool,
        typer.Option(
            "--beside", help="Leave the traffic where it is: VERSION answers only where it is asked for by number."
        ),
    ] = False,
    expect: Expect = None,
    strategy: Annotated[
        str | None,
        typer.Option(
            "--strategy",
            help="How VERSION takes the place of the deployed one: recreate (at once), rolling, blue-green, canary, "
            "shadow or ab; by default as [rollout] of the project says, else at once.",
        ),
    ] = None,
    steps: Annotated[
        str | None, typer.Option("--steps", help="Canary: its shares of the traffic in percent, such as 1,5,25,50,100.")
    ] = None,
    share: Annotated[
        float | None, typer.Option("--share", help="A/B: its share in percent. Shadow: of the requests copied to it.")
    ] = None,
    hold: Annotated[
        str | None, typer.Option("--hold", help="How long each step lasts at least, such as 90s or 10m.")
    ] = None,
    warm: Annotated[
        str | None, typer.Option("--warm", help="Blue-green: how long the old version is kept ready after the switch.")
    ] = None,
    patience: Annotated[
        str | None, typer.Option("--patience", help="How long a step may lack evidence before it waits for a person.")
    ] = None,
    sticky: Annotated[
        str | None,
        typer.Option("--sticky", help="What keeps a caller with one version: header:x-user, or field:customer_id."),
    ] = None,
    at_end: Annotated[
        str | None, typer.Option("--at-end", help="What a successful end brings: promote, or ask (for a person).")
    ] = None,
    watch: Annotated[bool, typer.Option("--watch", help="Show how the rollout goes until it has ended.")] = False,
    timeout: Timeout = 60.0,
    as_json: Json = False,
) -> None:
    """Make VERSION the one that its model is served with: at once, or by a rollout; with --beside, a further one.

    At once, running servers switch without a restart; the command returns when every worker has acknowledged.
    By a rollout, VERSION is tried first in a process of its own, then mainstay up moves it on, by the evidence of
    real requests, or rolls it back; with --watch, the exit code is 1 where it was. One beside is asked at
    /models/credit/versions/2/predict, and so in the other protocols.

    Example: mainstay deploy credit:2

    Example: mainstay deploy credit:2 --strategy canary --steps 1,5,25,50,100 --hold 10m --watch

    Example: mainstay deploy credit:2 --beside
    """
    from mainstay.operations.planning import Wishes  # noqa: PLC0415
    from mainstay.operations.rollouts import Started  # noqa: PLC0415
    from mainstay.operations.rollouts import deploy_as_planned as run  # noqa: PLC0415

    wishes = Wishes(
        strategy=strategy,
        steps=steps,
        share=share,
        hold=hold,
        warm=warm,
        patience=patience,
        sticky=sticky,
        at_end=at_end,
    )
    done = run(
        Path.cwd(),
        version,
        wishes,
        reason=reason,
        override=override,
        beside=beside,
        expecting=expect,
        timeout=timeout,
        told=lambda sentence: None if as_json else typer.echo(sentence),
    )
    if isinstance(done, Started):
        show(done, as_json=as_json, human=lambda out: _say_started(done, watched=watch))
        if watch:
            _watch(done, as_json=as_json)
        return

    def human(out: object) -> None:
        if done.ended:
            typer.echo(f"The rollout of {done.ended} is ended by this.")
        where = f" in place of {done.before}" if done.before else f" beside {done.beside}" if done.beside else ""
        typer.echo(f"{done.version} is deployed{where}.")
        say_servers(done.urls, otherwise="No server is running. Next: mainstay up")

    show(done, as_json=as_json, human=human)


@app.command("undeploy")
def undeploy(
    name: Annotated[
        str,
        typer.Argument(metavar="NAME", help="A version beside another, such as credit:2; or a model, such as credit."),
    ],
    *,
    reason: Annotated[str, typer.Option("--reason", help="Why; kept with the event.")] = "",
    timeout: Timeout = 60.0,
    as_json: Json = False,
) -> None:
    """End the serving of a version that is deployed beside another; or of a model, with all its versions.

    Running servers let go of it without a restart; the command returns when every worker has acknowledged.

    Example: mainstay undeploy credit:2
    """
    from mainstay.operations.undeploying import undeploy as run  # noqa: PLC0415

    done = run(Path.cwd(), name, reason=reason, timeout=timeout)

    def human(out: object) -> None:
        left = f"; still served: {', '.join(done.serving)}." if done.serving else "."
        typer.echo(f"No longer served: {', '.join(done.versions)}{left}")
        say_servers(done.urls, otherwise="No server is running.")

    show(done, as_json=as_json, human=human)


def _say_started(done: Started, *, watched: bool) -> None:
    model, tried = done.version.partition(":")[0], done.validated
    asked = (
        f" and {tried.rows:,} held-out rows, {tried.changed:,} of them otherwise than {done.stable}"
        if tried.rows
        else ""
    )
    typer.echo(f"{done.version} answered {tried.golden:,} golden predictions{asked}.")
    for who, took in ((done.version, tried.candidate), (done.stable, tried.stable)):
        if took is not None and took.seconds is not None:
            typer.echo(f"  {who}: {took.seconds * 1000:.2g} ms a row, {took.memory / 1e6:.0f} MB, in its own process")
    for note in tried.notes:
        typer.echo(f"  Note: {note}")
    if done.superseded:
        typer.echo(f"The rollout of {done.superseded} is ended by this.")
    steps = (
        f", {', '.join(f'{step:g}' for step in done.steps)} %" if done.strategy in ("canary", "ab", "shadow") else ""
    )
    typer.echo(f"The rollout of {done.version} in place of {done.stable} has started ({done.strategy}{steps}).")
    if done.approvers:
        typer.echo(f"{' or '.join(done.approvers)} has to approve it: mainstay approve {model} --key-file FILE")
    if not done.urls or not done.controlled:
        typer.echo("Nobody moves it on yet. Next: mainstay up")
    elif not watched:
        typer.echo(f"Next: mainstay status {model} --watch")


def _watch(done: Started, *, as_json: bool) -> None:
    """Shows a rollout until it has ended; the exit code says how."""
    from mainstay.cli.standing import watch as go_on  # noqa: PLC0415
    from mainstay.operations.standing import looking  # noqa: PLC0415

    with looking(Path.cwd(), done.version.partition(":")[0]) as look:
        ended = go_on(look, rollout=done.rollout, as_json=as_json)
    if ended is not None and ended.state != "completed":
        raise typer.Exit(SAID_NO)


def _serving(name: str, words: str) -> None:
    """A command that serves, with or without a controller of rollouts beside: its options are the same."""

    def command(**said: Any) -> None:
        serving.serve({**said, "controller": serving.COMMANDS[name]})

    # typer reads the options off the signature of a command.
    command.__signature__ = inspect.Signature(  # type: ignore[attr-defined]  # any function may have one
        [_parameter(option) for option in serving.OPTIONS], return_annotation=None
    )
    command.__annotations__ = {}
    command.__doc__ = words
    app.command(name)(command)


def _parameter(option: serving.Option) -> inspect.Parameter:
    """An option as typer reads it."""
    flag = option.kind is bool
    typed = typer.Option(option.flag, help=option.help, min=option.least, max=option.most)
    kind: Any = bool if flag else option.kind | None
    return inspect.Parameter(
        option.name, inspect.Parameter.KEYWORD_ONLY, default=False if flag else None, annotation=Annotated[kind, typed]
    )


_serving(
    "serve",
    """Serve the deployed versions over HTTP, and gRPC where asked, until Ctrl-C or SIGTERM.

    Rollouts take a controller, which mainstay up runs beside the server.

    Example: mainstay serve --port 8080 --grpc-port 8081
    """,
)
_serving(
    "up",
    """Serve as mainstay serve does, and move rollouts on, hold them and roll them back, until Ctrl-C or SIGTERM.

    Several may run on one registry: one of them moves rollouts, and another goes on when that one ends.

    Example: mainstay up --port 8080 --workers 2
    """,
)


@app.command("controller")
def controller(
    *,
    as_json: Annotated[
        bool, typer.Option("--json", help="Write the log as JSON lines, and errors as one object, also to a terminal.")
    ] = False,
) -> None:
    """Move rollouts on, hold them and roll them back, without serving, until Ctrl-C or SIGTERM.

    mainstay up runs a controller beside its server; this is for a registry whose servers run elsewhere.

    Example: mainstay controller
    """
    from mainstay.operations.controlling import control  # noqa: PLC0415

    control(Path.cwd(), human=False if as_json else None)
