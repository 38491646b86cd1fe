"""Commands that put versions to work: deploy, undeploy, serve."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mainstay.cli.app import app
from mainstay.cli.commands.catalogue import Expect
from mainstay.cli.output import Json, show

if TYPE_CHECKING:
    from mainstay.operations.serving import Serving

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
    timeout: Timeout = 60.0,
    as_json: Json = False,
) -> None:
    """Make VERSION the one that its model is served with; or, with --beside, a further one.

    Running servers switch without a restart; the command returns when every worker has acknowledged.
    One beside is asked at /models/credit/versions/2/predict, and so in the other protocols.

    Example: mainstay deploy credit:2

    Example: mainstay deploy credit:2 --beside
    """
    from mainstay.operations.deploying import deploy as run  # noqa: PLC0415

    done = run(Path.cwd(), version, reason=reason, override=override, beside=beside, expecting=expect, timeout=timeout)

    def human(out: object) -> None:
        where = f" in place of {done.before}" if done.before else f" beside {done.beside}" if done.beside else ""
        typer.echo(f"{done.version} is deployed{where}.")
        _say_servers(done.urls, next_command="mainstay serve")

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
        _say_servers(done.urls)

    show(done, as_json=as_json, human=human)


def _say_servers(urls: Sequence[str], *, next_command: str = "") -> None:
    if urls:
        typer.echo(f"Acknowledged by {len(urls)} running server(s): {', '.join(urls)}")
    else:
        typer.echo("No server is running." + (f" Next: {next_command}" if next_command else ""))


@app.command("serve")
def serve(
    *,
    host: Annotated[str | None, typer.Option("--host", help="Address to listen on; by default, the project's.")] = None,
    port: Annotated[
        int | None, typer.Option("--port", help="Port to listen on; 0 takes a free one.", min=0, max=65535)
    ] = None,
    grpc_port: Annotated[
        int | None,
        typer.Option(
            "--grpc-port",
            help="Port for gRPC (Open Inference Protocol), 0 takes a free one; without it, gRPC is not spoken.",
            min=0,
            max=65535,
        ),
    ] = None,
    workers: Annotated[int | None, typer.Option("--workers", help="Processes that answer.", min=1)] = None,
    trust: Annotated[
        Path | None,
        typer.Option("--trust", help="File of type names, one a line, that models in native formats may hold."),
    ] = None,
    tls_cert: Annotated[
        Path | None, typer.Option("--tls-cert", help="Certificate (PEM file) to speak https with; takes --tls-key.")
    ] = None,
    tls_key: Annotated[
        Path | None, typer.Option("--tls-key", help="Its private key (PEM file), readable by its owner alone.")
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
    """Serve the deployed versions over HTTP, and gRPC where asked, until Ctrl-C or SIGTERM.

    Example: mainstay serve --port 8080 --grpc-port 8081
    """
    from mainstay.operations.serving import serve as run  # noqa: PLC0415

    def told(serving: Serving) -> None:
        if as_json:
            show(serving, as_json=True, human=lambda out: None)

    run(
        Path.cwd(),
        host=host,
        port=port,
        grpc_port=grpc_port,
        workers=workers,
        trust=trust,
        tls_cert=tls_cert,
        tls_key=tls_key,
        with_parent=with_parent,
        told=told,
    )
