"""Alembic runs this file; the connection comes from `hapctl.archive.schema.alembic_config`."""

from alembic import context

context.configure(connection=context.config.attributes["connection"], version_table_schema="public")
context.run_migrations()
