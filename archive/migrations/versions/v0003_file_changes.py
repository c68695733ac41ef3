"""Changes of files in place, and how they are undone."""

from alembic import op
from hapctl.archive.schema import run_script
from hapctl.sql import read_sql

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Add the tables of changes of files."""
    run_script(op.get_bind(), read_sql("migrations/0003_file_changes.sql"))
