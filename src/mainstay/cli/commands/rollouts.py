"""Commands that look at rollouts and move them: status, promote, pause, resume, approve."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mainstay.cli.app import app
from mainstay.cli.output import Json, Verbose, say_servers, show

if TYPE_CHECKING:
    from mainstay.operations.rollouts import Moved

Model = Annotated[str, typer.Argument(metavar="MODEL", help="The model's name, such as credit.")]
Reason = Annotated[str, typer.Option("--reason", help="Why; kept with the event.")]


@app.command("status")
def status(
    model: Annotated[str | None, typer.Argument(metavar="MODEL", help="Only this model.")] = None,
    *,
    watch: Annotated[bool, typer.Option("--watch", help="Go on, and show what changes, until Ctrl-C.")] = False,
    verbose: Verbose = False,
    as_json: Json = False,
) -> None:
    """Show what is deployed, how its rollout stands and by which evidence, and which servers run.

    With --watch, a terminal has a picture that is drawn again, and a pipe a few lines at each change.

    Example: mainstay status credit --watch
    """
    from mainstay.cli.standing import draw  # noqa: PLC0415
    from mainstay.cli.standing import watch as go_on  # noqa: PLC0415
    from mainstay.operations.standing import looking  # noqa: PLC0415
    from mainstay.operations.standing import status as run  # noqa: PLC0415

    if watch:
        with looking(Path.cwd(), model) as look:
            go_on(look, verbose=verbose, as_json=as_json)
        return
    found = run(Path.cwd(), model)
    show(found, as_json=as_json, human=lambda out: draw(out, found, verbose=verbose))


@app.command("promote")
def promote(
    model: Model,
    *,
    reason: Reason = "",
    timeout: Annotated[float, typer.Option("--timeout", help="Seconds to wait for running servers.", min=0.0)] = 60.0,
    as_json: Json = False,
) -> None:
    """Give all of the traffic of MODEL to the version that is being rolled out, whatever steps are left.

    After a blue-green switch, the watch is ended and the old version let go of.

    Example: mainstay promote credit --reason "looks good"
    """
    from mainstay.operations.rollouts import promote as run  # noqa: PLC0415

    done = run(Path.cwd(), model, reason=reason, timeout=timeout)
    _say(done, f"{done.version} takes all of the traffic of {model}, in place of {done.stable}.", as_json=as_json)


@app.command("pause")
def pause(model: Model, *, reason: Reason = "", as_json: Json = False) -> None:
    """Leave the rollout of MODEL as it is, its share of the traffic too, until it is resumed.

    Example: mainstay pause credit --reason "month's end"
    """
    from mainstay.operations.rollouts import pause as run  # noqa: PLC0415

    done = run(Path.cwd(), model, reason=reason)
    said = f"The rollout of {done.version} is paused at {done.share:g} %. To go on: mainstay resume {model}"
    _say(done, said, as_json=as_json)


@app.command("resume")
def resume(model: Model, *, reason: Reason = "", as_json: Json = False) -> None:
    """Have the paused rollout of MODEL go on where it was.

    Example: mainstay resume credit
    """
    from mainstay.operations.rollouts import resume as run  # noqa: PLC0415

    done = run(Path.cwd(), model, reason=reason)
    _say(done, f"The rollout of {done.version} goes on, at {done.share:g} %.", as_json=as_json)


@app.command("approve")
def approve(
    model: Model,
    *,
    key_file: Annotated[
        Path, typer.Option("--key-file", help="File of an API key (mode 0600) whose name may approve of rollouts.")
    ],
    as_json: Json = False,
) -> None:
    """Approve of the rollout of MODEL, in the name of an API key that [rollout] require_approval names.

    Example: mainstay approve credit --key-file alice.key
    """
    from mainstay.operations.rollouts import approve as run  # noqa: PLC0415

    done = run(Path.cwd(), model, key_file=key_file)
    said = f"The rollout of {done.version} is approved by {', '.join(done.approvals)}."
    show(done, as_json=as_json, human=lambda out: typer.echo(said))


def _say(done: Moved, sentence: str, *, as_json: bool) -> None:
    def human(out: object) -> None:
        typer.echo(sentence)
        say_servers(done.urls)

    show(done, as_json=as_json, human=human)
