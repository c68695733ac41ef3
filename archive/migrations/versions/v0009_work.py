"""Batches of work units, who works on each, and how it ended."""

from alembic import op
from hapctl.archive.schema import run_script
from hapctl.sql import read_sql

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    """Add the tables."""
    run_script(op.get_bind(), read_sql("migrations/0009_work.sql"))
