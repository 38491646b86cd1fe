"""Brings a registry's database to the present schema, with Alembic, inside the caller's transaction.

Alembic is imported only when there is something to bring: opening a registry that is up to date stays cheap.
"""

from __future__ import annotations

import threading
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sqlalchemy import Connection

REVISIONS = ("0001", "0002", "0003", "0004", "0005")
"""Every revision, oldest first: the files of `versions`. A database of another revision is a newer Mainstay's."""
HEAD = REVISIONS[-1]
TABLE = "alembic_version"
CONNECTION = "connection"

# Alembic's `op` and `context` are one a process.
_one_at_a_time = threading.Lock()


def upgrade(connection: Connection) -> None:
    """Applies the missing revisions: all or, where the caller's transaction is rolled back, none."""
    from alembic import command  # noqa: PLC0415 — see above
    from alembic.config import Config  # noqa: PLC0415

    config = Config()
    # ConfigParser reads "%" as the start of a name.
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    config.attributes[CONNECTION] = connection
    with _one_at_a_time:
        command.upgrade(config, HEAD)
