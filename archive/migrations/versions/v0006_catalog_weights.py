"""Weights of the catalog's positions."""

from alembic import op
from hapctl.archive.schema import run_script
from hapctl.sql import read_sql

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Add the column."""
    run_script(op.get_bind(), read_sql("migrations/0006_catalog_weights.sql"))
