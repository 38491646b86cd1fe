"""The command that makes room: gc."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mainstay.cli.app import app
from mainstay.cli.output import Json, show, table

if TYPE_CHECKING:
    from rich.console import Console


@app.command("gc")
def gc(
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be removed, and remove nothing.")] = False,
    older_than: Annotated[
        str, typer.Option("--older-than", help="Only what nobody has put for so long: 7d, 12h, 90m; at least 1h.")
    ] = "7d",
    as_json: Json = False,
) -> None:
    """Remove the files that no version names: of registrations that never ended.

    And, on this machine, environments of Python classes that no version needs, and copies of a bucket's files that no
    live version needs. Versions stay, failed and old ones too. Ended in the middle, it does no harm.

    Example: mainstay gc --dry-run
    """
    from mainstay.operations.collecting import collect  # noqa: PLC0415

    done = collect(Path.cwd(), older_than=older_than, dry_run=dry_run)

    def human(out: Console) -> None:
        if done.removed:
            rows = [(each.sha256, each.size, f"{each.put_at:%Y-%m-%d %H:%M:%S} UTC") for each in done.removed]
            table(out, ("file", "bytes", "put"), rows)
        verb = "Would remove" if done.dry_run else "Removed"
        typer.echo(
            f"{verb} {len(done.removed)} file(s), {done.bytes} bytes. "
            f"{done.kept} are named by versions; {done.young} that nothing names are younger than {older_than}."
        )
        for what, unused in (("copies of files", done.copies), ("environments of Python classes", done.environments)):
            if unused:
                typer.echo(f"{verb} {len(unused)} unused {what}, {sum(each.size for each in unused)} bytes.")

    show(done, as_json=as_json, human=human)
