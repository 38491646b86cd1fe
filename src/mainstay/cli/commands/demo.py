"""The demo command."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mainstay.cli.app import app
from mainstay.cli.output import Json, show
from mainstay.cli.progress import TerminalWatcher


@app.command("demo")
def demo(
    *,
    folder: Annotated[Path, typer.Option("--folder", help="Where the demo's project is kept.")] = Path("demo"),
    port: Annotated[int, typer.Option("--port", help="Port to listen on; a free one where it is taken.")] = 8080,
    budget: Annotated[float, typer.Option("--budget", help="Seconds of search.", min=0.1)] = 20.0,
    once: Annotated[bool, typer.Option("--once", help="End after the requests in place of serving on.")] = False,
    as_json: Json = False,
) -> None:
    """The main job on real data: train, evaluate, register, deploy, serve, and ask the served model; then roll out.

    A version that was trained on shuffled labels is rolled out, caught, and rolled back by itself; a sound one follows.

    Example: mainstay demo --once
    """
    from mainstay.operations.demo import demo as run  # noqa: PLC0415

    with TerminalWatcher(quiet=as_json, notes_are_results=not as_json) as watcher:
        done = run(folder, port=port, budget=budget, once=once, watch=watcher)
    show(done, as_json=as_json, human=lambda out: None)
