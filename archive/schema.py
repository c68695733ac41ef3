"""The schema of the catalog: its version, and how it is brought up to date.

Tables come from ``sql/migrations`` (one Alembic revision each, the revision's id is the file's number), views
from ``sql/views`` (in the order of their names), rights from ``sql/roles``. The views have no revisions: the
fingerprint of their text is kept as the comment on ``alembic_version``, so that old views are noticed too.
"""

import re
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

from hapctl.archive.database import Catalog
from hapctl.archive.errors import RefusedByCatalogError, SchemaMismatchError
from hapctl.sql import list_sql, read_sql
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError, ProgrammingError

if TYPE_CHECKING:
    from alembic.config import Config

READER_ROLE = "hapctl_reader"
_CREATE_VIEW = re.compile(r"^CREATE OR REPLACE VIEW (\S+)", re.MULTILINE)
# Any number serves, as long as all hapctl agree on it: two upgrades at once wait for each other.
_UPGRADE_LOCK = 4_802_517_001


@dataclass(frozen=True)
class SchemaVersion:
    """The revision of the tables and the fingerprint of the views."""

    revision: str | None
    views: str | None


@dataclass(frozen=True)
class Upgrade:
    """What `upgrade_schema` did.

    Attributes
    ----------
    before, after : str or None
        Revisions of the tables.
    changed : bool
        Whether tables or views are other than before.
    reader_remedy : str
        What an administrator must do for the role ``hapctl_reader``; empty where all is well.
    """

    before: str | None
    after: str
    changed: bool
    reader_remedy: str


def software_version() -> SchemaVersion:
    """Return the version of the schema this software works with."""
    digest = sha256()
    for name in list_sql("views"):
        digest.update(f"{name}\0{read_sql(f'views/{name}')}\0".encode())
    return SchemaVersion(revisions()[-1], digest.hexdigest()[:16])


def revisions() -> list[str]:
    """Return the ids of all revisions, oldest first."""
    return [name.split("_")[0] for name in list_sql("migrations")]


def database_version(connection: Connection) -> SchemaVersion:
    """Return the version of the schema in the database; None, None where there is none."""
    if connection.scalar(text("SELECT to_regclass('public.alembic_version')")) is None:
        return SchemaVersion(None, None)
    revision = connection.scalar(text("SELECT version_num FROM public.alembic_version"))
    comment = connection.scalar(
        text("SELECT obj_description('public.alembic_version'::regclass, 'pg_class')")
    )
    return SchemaVersion(revision, comment.removeprefix("views ") if comment else None)


def check_schema_version(connection: Connection) -> None:
    """Raise `SchemaMismatchError`, naming the command to run, unless the database has this schema."""
    have, want = database_version(connection), software_version()
    if have == want:
        return
    if have.revision is None:
        raise SchemaMismatchError("the database holds no catalog yet", "run 'hapctl init'")
    if have.revision not in revisions():
        raise SchemaMismatchError(
            f"the catalog has schema {have.revision}, newer than {want.revision} of this hapctl",
            "install the newer hapctl that made it",
        )
    behind = f"schema {have.revision}" if have.revision != want.revision else "older views"
    raise SchemaMismatchError(
        f"the catalog has {behind}, this hapctl works with {want.revision}", "run 'hapctl db upgrade'"
    )


def upgrade_schema(catalog: Catalog, revision: str = "head") -> Upgrade:
    """Bring tables, views and rights up to date, in one transaction; repeating it changes nothing.

    Parameters
    ----------
    catalog : Catalog
        Opened with ``check_schema=False``.
    revision : str
        Where to stop; views and rights come only with the newest.
    """
    with catalog.begin() as connection:
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _UPGRADE_LOCK})
        before = database_version(connection)
        if before.revision is not None and before.revision not in revisions():
            check_schema_version(connection)
        _migrate(connection, revision)
        remedy = ""
        if database_version(connection).revision == revisions()[-1]:
            _apply_views(connection)
            remedy = _apply_rights(connection)
        after = database_version(connection)
    return Upgrade(before.revision, str(after.revision), before != after, remedy)


def _migrate(connection: Connection, revision: str) -> None:
    from alembic import command

    command.upgrade(alembic_config(connection), revision)


def alembic_config(connection: Connection) -> "Config":
    """Return Alembic's configuration, to work on this connection."""
    # Not at the top: most commands look at the version only, and Alembic takes a while to import.
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    config.attributes["connection"] = connection
    return config


def run_script(connection: Connection, script: str) -> None:
    """Execute a text of several SQL statements, with no parameters and no meaning for ``%`` or ``:``."""
    connection.execution_options(no_parameters=True).exec_driver_sql(script)


def _apply_views(connection: Connection) -> None:
    fingerprint = software_version().views
    if database_version(connection).views == fingerprint:
        return
    try:
        with connection.begin_nested():
            _create_views(connection)
    except ProgrammingError:
        # A view whose columns changed can't be replaced: drop ours, and make them again.
        _drop_views(connection)
        _create_views(connection)
    run_script(connection, f"COMMENT ON TABLE public.alembic_version IS 'views {fingerprint}'")


def _create_views(connection: Connection) -> None:
    for name in list_sql("views"):
        run_script(connection, read_sql(f"views/{name}"))


def _drop_views(connection: Connection) -> None:
    try:
        for name in reversed(view_names()):
            run_script(connection, f"DROP VIEW IF EXISTS {name}")
    except DBAPIError as error:
        reason = str(error.orig).splitlines()[0]
        raise RefusedByCatalogError(
            f"a view of your own stands on one that changes: {reason}",
            "drop yours, run 'hapctl db upgrade', make it again",
        ) from error


def view_names() -> list[str]:
    """Return the names of all views of ``sql/views``, those others stand on first."""
    return [name for file in list_sql("views") for name in _CREATE_VIEW.findall(read_sql(f"views/{file}"))]


def _apply_rights(connection: Connection) -> str:
    if not _role_exists(connection):
        try:
            with connection.begin_nested():
                run_script(connection, f"CREATE ROLE {READER_ROLE} LOGIN")
        except ProgrammingError:
            return (
                f"'hapctl sql' and 'hapctl query' log in as {READER_ROLE}: let an administrator run "
                f"'CREATE ROLE {READER_ROLE} LOGIN', then run 'hapctl db upgrade'"
            )
    run_script(connection, read_sql("roles/reader.sql"))
    return ""


def _role_exists(connection: Connection) -> bool:
    query = text("SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = :role)")
    return bool(connection.scalar(query, {"role": READER_ROLE}))
