"""Commands that look at the registry: list, show, compare, events; and alias, which moves a name."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mainstay.cli.app import app
from mainstay.cli.output import Json, number, show, table

if TYPE_CHECKING:
    from rich.console import Console

    from mainstay.operations.catalogue import Comparison, Listed, Shown

Ref = Annotated[
    str, typer.Argument(metavar="VERSION", help="A version: credit:1, credit@champion, or credit for its newest.")
]

Expect = Annotated[
    str | None,
    typer.Option("--expect", metavar="VERSION", help="Refuse unless the name is at this version now; none: nowhere."),
]


@app.command("list")
def list_versions(
    model: Annotated[str | None, typer.Argument(metavar="MODEL", help="Only this model's versions.")] = None,
    *,
    limit: Annotated[int, typer.Option("--limit", help="At most so many, the newest first.", min=1)] = 50,
    before: Annotated[
        str | None, typer.Option("--before", metavar="VERSION", help="Only older ones: the last of the page before.")
    ] = None,
    as_json: Json = False,
) -> None:
    """List the registered versions, the newest first, a page at a time.

    Example: mainstay list credit --before credit:51
    """
    from mainstay.operations.catalogue import listed  # noqa: PLC0415

    found = listed(Path.cwd(), model, limit=limit, before=before)

    def human(out: Console) -> None:
        if not found.versions and before is None:
            out.print("No version is registered yet. Next: mainstay train")
            return
        rows = [
            (
                v.version,
                _state(v),
                ", ".join(v.aliases),
                v.metric,
                v.description,
                v.created_at,
                v.actor,
            )
            for v in found.versions
        ]
        table(out, ("version", "state", "aliases", "metric", "model", "created", "by"), rows)
        _say_next(f"mainstay list{f' {model}' if model else ''} --limit {limit} --before {found.next}", found.next)

    show(found, as_json=as_json, human=human)


@app.command("show")
def show_version(version: Ref, *, as_json: Json = False) -> None:
    """Show what a version is: its model, inputs, metrics, gates, lineage and files.

    Example: mainstay show credit:1
    """
    from mainstay.operations.catalogue import shown  # noqa: PLC0415

    found = shown(Path.cwd(), version)
    show(found, as_json=as_json, human=lambda out: _draw_version(out, found))


@app.command("compare")
def compare(one: Ref, other: Ref, *, as_json: Json = False) -> None:
    """Compare the evaluations and the making of two versions, side by side.

    Example: mainstay compare credit:1 credit:2
    """
    from mainstay.operations.catalogue import compared  # noqa: PLC0415

    found = compared(Path.cwd(), one, other)
    show(found, as_json=as_json, human=lambda out: _draw_comparison(out, found))


@app.command("alias")
def alias(
    version: Ref,
    name: Annotated[str, typer.Argument(metavar="NAME", help="The alias, such as champion.")],
    *,
    reason: Annotated[str, typer.Option("--reason", help="Why; kept with the event.")] = "",
    expect: Expect = None,
    as_json: Json = False,
) -> None:
    """Point an alias at VERSION, so that credit@NAME means it.

    Example: mainstay alias credit:2 favourite --reason "asked for by risk" --expect credit:1
    """
    from mainstay.operations.catalogue import point  # noqa: PLC0415

    done = point(Path.cwd(), version, name, reason=reason, expecting=expect)
    show(done, as_json=as_json, human=lambda out: out.print(f"{done.alias} is {done.version} now.", markup=False))


@app.command("events")
def events(
    model: Annotated[str | None, typer.Argument(metavar="MODEL", help="Only this model's events.")] = None,
    *,
    limit: Annotated[int, typer.Option("--limit", help="At most so many, the newest last.", min=1)] = 50,
    before: Annotated[
        int | None, typer.Option("--before", metavar="ID", help="Only older ones: as the page before said.", min=1)
    ] = None,
    as_json: Json = False,
) -> None:
    """List what happened: registrations, aliases, deployments, keys; by whom, when and why.

    Example: mainstay events credit
    """
    from mainstay.operations.catalogue import happened  # noqa: PLC0415

    found = happened(Path.cwd(), model, limit=limit, before=before)
    rows = [(e.at, e.actor, e.kind, e.version or e.model or e.evidence.get("name"), e.reason) for e in found.events]

    def human(out: Console) -> None:
        table(out, ("when", "who", "what", "of", "why"), rows)
        _say_next(f"mainstay events{f' {model}' if model else ''} --limit {limit} --before {found.next}", found.next)

    show(found, as_json=as_json, human=human)


def _state(version: Listed) -> str:
    if version.deployed:
        return "deployed"
    if version.candidate:
        return "in a rollout"
    if version.beside:
        return "beside"
    if not version.evaluated:
        return "not evaluated"
    return "passed" if version.passed else "failed a gate"


def _say_next(command: str, more: object) -> None:
    """On the standard error: a page that is piped on stays a table."""
    if more is not None:
        typer.echo(f"Older: {command}", err=True)


def _draw_version(out: Console, found: Shown) -> None:
    table(out, ("", found.version), found.facts.items())
    table(out, ("input", "type", "missing values"), found.inputs, title="Inputs")
    rows = [(name, number(m["value"]), number(m["low"]), number(m["high"])) for name, m in found.metrics.items()]
    table(out, ("metric", "value", "low", "high"), rows, title="Evaluation")
    table(out, ("gate", "passed", "found"), [(g["text"], g["passed"], g["reason"]) for g in found.gates], title="Gates")
    table(out, ("file", "bytes", "SHA-256"), found.files, title="Files")
    for note in found.notes:
        out.print(f"Note: {note}", markup=False)


def _draw_comparison(out: Console, found: Comparison) -> None:
    rows = [(r.metric, number(r.one), number(r.other), number(r.difference)) for r in found.metrics]
    table(out, ("metric", found.one, found.other, "difference"), rows)
    table(out, ("", found.one, found.other), found.facts)
    for note in found.notes:
        out.print(f"Note: {note}", markup=False)
