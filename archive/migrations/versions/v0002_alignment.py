"""Joint alignments: groups of any exposures, their members, ladders of catalogs."""

from alembic import op
from hapctl.archive.schema import run_script
from hapctl.sql import read_sql

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Extend policies, groups, attempts and stars; add the members of joint solutions."""
    run_script(op.get_bind(), read_sql("migrations/0002_alignment.sql"))
