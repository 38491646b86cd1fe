"""What Alembic runs: the revisions, on the connection it was given, in the transaction that is open there."""

from __future__ import annotations

from alembic import context

from mainstay.registry.migrations import CONNECTION, TABLE

context.configure(connection=context.config.attributes[CONNECTION], version_table=TABLE, transactional_ddl=True)
context.run_migrations()
