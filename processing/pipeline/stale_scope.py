"""Which products `mosaic --stale` looks at, and what the catalog and the folders say of them.

Kept apart from the work itself, so that finding nothing loads nothing that makes pixels.
"""

import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from hapctl.archive.database import Catalog
from hapctl.archive.product_files import file_names_in_force, products_of_files
from hapctl.archive.stale_products import StaleGroup, stale_groups
from hapctl.processing.imaging.product_rules import ProductRules
from hapctl.processing.pipeline.product_policies import rules_in_force
from sqlalchemy import Connection


@dataclass(frozen=True)
class Scope:
    """Which products are looked at: of visits and tiles (None and None: all), in a folder (None: any)."""

    visits: tuple[str, ...] | None = None
    tiles: tuple[str, ...] | None = None
    folder: str | None = None

    def rules_known(self, catalog: Catalog) -> bool:
        """Whether this software's rules of products are in force; if not, the next run puts them so."""
        with catalog.begin() as connection:
            return bool(rules_in_force(connection).policy_id)

    def groups(self, catalog: Catalog) -> list[StaleGroup]:
        """Ask the catalog what is stale, also by rules of the next run, and folders for what is missing."""
        with catalog.begin() as connection:
            rules = rules_in_force(connection)
            changed = () if rules.policy_id else _changed_by(connection, rules.rules)
            return stale_groups(
                connection,
                visits=self.visits,
                tiles=self.tiles,
                folder=self.folder,
                changed=changed,
                missing=_products_without_file(connection),
            )


def _products_without_file(connection: Connection) -> list[int]:
    """Return products whose files are not in the listings of their folders: one listing a folder.

    A folder that is not there may be a disk that is not mounted: nothing is said of its products. Damaged
    files are known from `product verify`.
    """
    missing = []
    for folder, names in file_names_in_force(connection).items():
        with suppress(OSError):
            there = set(os.listdir(folder))
            missing += [f"{folder}/{name}" for name in names if name not in there]
    return products_of_files(connection, missing) if missing else []


def _changed_by(connection: Connection, rules: ProductRules) -> Sequence[int]:
    from hapctl.processing.pipeline.policy_effects import policy_effect  # only after a change of rules

    return policy_effect(connection, rules).other
