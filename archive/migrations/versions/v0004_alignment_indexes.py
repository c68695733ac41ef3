"""Indexes for what is asked of alignments in a large catalog."""

from alembic import op
from hapctl.archive.schema import run_script
from hapctl.sql import read_sql

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Add the indexes."""
    run_script(op.get_bind(), read_sql("migrations/0004_alignment_indexes.sql"))
