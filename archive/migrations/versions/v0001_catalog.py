"""The catalog, first form."""

from alembic import op
from hapctl.archive.schema import run_script
from hapctl.sql import read_sql

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Create the tables, triggers and comments."""
    run_script(op.get_bind(), read_sql("migrations/0001_catalog.sql"))
