"""Files of products that were replaced, kept on request."""

from alembic import op
from hapctl.archive.schema import run_script
from hapctl.sql import read_sql

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    """Add the table."""
    run_script(op.get_bind(), read_sql("migrations/0011_kept_files.sql"))
