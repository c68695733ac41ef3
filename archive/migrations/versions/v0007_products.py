"""Products of every kind, how they were asked for, and what imported ones claim."""

from alembic import op
from hapctl.archive.schema import run_script
from hapctl.sql import read_sql

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    """Widen products, and add the table of claimed inputs."""
    run_script(op.get_bind(), read_sql("migrations/0007_products.sql"))
