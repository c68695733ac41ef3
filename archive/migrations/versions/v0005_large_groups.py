"""Groups of any number of exposures, members of finite numbers."""

from alembic import op
from hapctl.archive.schema import run_script
from hapctl.sql import read_sql

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Change the uniqueness of groups, check the numbers of members."""
    run_script(op.get_bind(), read_sql("migrations/0005_large_groups.sql"))
