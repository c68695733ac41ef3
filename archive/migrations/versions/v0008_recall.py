"""Recalls of bad runs, files, solutions and products, and of all that came of them."""

from alembic import op
from hapctl.archive.schema import run_script
from hapctl.sql import read_sql

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    """Add the tables of recalls."""
    run_script(op.get_bind(), read_sql("migrations/0008_recall.sql"))
