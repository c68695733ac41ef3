"""Products that are the same under another policy."""

from alembic import op
from hapctl.archive.schema import run_script
from hapctl.sql import read_sql

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    """Add the table."""
    run_script(op.get_bind(), read_sql("migrations/0010_same_policy.sql"))
