"""Commands about the registry as a whole: copy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from mainstay.cli.app import app
from mainstay.cli.output import Json, show

if TYPE_CHECKING:
    from rich.console import Console

registry = typer.Typer(
    name="registry",
    help="Move a registry to another database and store.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
app.add_typer(registry)


@registry.command("copy")
def copy_registry(
    source: Annotated[
        str,
        typer.Argument(
            metavar="FROM", help="A project's folder, a folder such as .mainstay, or a PostgreSQL URL with ${NAME}s."
        ),
    ],
    target: Annotated[str, typer.Argument(metavar="TO", help="The same; empty, or an earlier copy of FROM.")],
    *,
    from_blobs: Annotated[
        str | None, typer.Option("--from-blobs", help="Files of FROM: a folder or s3://BUCKET/PREFIX.")
    ] = None,
    to_blobs: Annotated[
        str | None, typer.Option("--to-blobs", help="Files of TO: a folder or s3://BUCKET/PREFIX.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Copy a registry whole: ids, times and events unchanged, each file checked by its hash.

    Ended in the middle, it leaves the target as it was; run it again, and it goes on. Exit code 1: the source was
    used meanwhile, so run it again.

    Example: mainstay registry copy .mainstay .
    """
    from mainstay.operations.copying import moved  # noqa: PLC0415

    done = moved(source, target, source_blobs=from_blobs, target_blobs=to_blobs)

    def human(out: Console) -> None:
        out.print(
            f"{done.versions} versions, {done.events} events and {done.blobs} files ({done.bytes / 1e6:.1f} MB) are "
            f"there; {done.sent} of the files were sent now. Every file was read back and checked."
        )

    show(done, as_json=as_json, human=human)
