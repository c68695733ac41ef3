"""The catalog as a database: reached, refused, explained."""

from hapctl.archive.database import Catalog
from sqlalchemy import text


def test_a_fresh_catalog_is_empty_and_speaks_utc(any_catalog: Catalog) -> None:
    with any_catalog.begin() as connection:
        assert connection.scalar(text("SELECT count(*) FROM stale_product")) == 0
        assert connection.scalar(text("SHOW timezone")) == "UTC"
