"""Commands that put versions to work: deploy, serve."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mainstay.cli.app import app
from mainstay.cli.output import Json, show

if TYPE_CHECKING:
    from mainstay.operations.serving import Serving


@app.command("deploy")
def deploy(
    version: Annotated[str, typer.Argument(metavar="VERSION", help="The version to serve, such as credit:1.")],
    *,
    reason: Annotated[str, typer.Option("--reason", help="Why; kept with the event.")] = "",
    override: Annotated[
        bool, typer.Option("--override", help="Deploy a version that failed a gate; needs --reason, and is recorded.")
    ] = False,
    timeout: Annotated[float, typer.Option("--timeout", help="Seconds to wait for running servers.", min=0.0)] = 60.0,
    as_json: Json = False,
) -> None:
    """Make VERSION the one that its model is served with.

    Running servers switch without a restart; the command returns when every worker has acknowledged.

    Example: mainstay deploy credit:2
    """
    from mainstay.operations.deploying import deploy as run  # noqa: PLC0415

    done = run(Path.cwd(), version, reason=reason, override=override, timeout=timeout)

    def human(out: object) -> None:
        typer.echo(f"{done.version} is deployed" + (f" in place of {done.before}." if done.before else "."))
        if done.servers:
            typer.echo(f"Acknowledged by {done.servers} running server(s): {', '.join(done.urls)}")
        else:
            typer.echo("No server is running. Next: mainstay serve")

    show(done, as_json=as_json, human=human)


@app.command("serve")
def serve(
    *,
    host: Annotated[str | None, typer.Option("--host", help="Address to listen on; by default, the project's.")] = None,
    port: Annotated[
        int | None, typer.Option("--port", help="Port to listen on; 0 takes a free one.", min=0, max=65535)
    ] = None,
    workers: Annotated[int | None, typer.Option("--workers", help="Processes that answer.", min=1)] = None,
    trust: Annotated[
        Path | None,
        typer.Option("--trust", help="File of type names, one a line, that models in native formats may hold."),
    ] = None,
    with_parent: Annotated[
        bool,
        typer.Option(
            "--with-parent",
            help="End when standard input is closed, as it is when the program that started the server ends.",
        ),
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object on standard output once requests are taken.")
    ] = False,
) -> None:
    """Serve the deployed versions over HTTP until Ctrl-C or SIGTERM.

    Example: mainstay serve --port 8080
    """
    from mainstay.operations.serving import serve as run  # noqa: PLC0415

    def told(serving: Serving) -> None:
        if as_json:
            show(serving, as_json=True, human=lambda out: None)

    run(Path.cwd(), host=host, port=port, workers=workers, trust=trust, with_parent=with_parent, told=told)
