"""Policies: named, versioned rules kept as data, one of each kind in force at a time."""

from collections.abc import Mapping
from typing import Any, Literal

from hapctl.archive.locks import lock_key
from hapctl.archive.runs import canonical_json
from hapctl.sql import read_sql
from sqlalchemy import Connection, text

PolicyKind = Literal["acceptance", "products", "ladder", "preference"]


def ensure_policy(
    connection: Connection, run_id: int, kind: PolicyKind, name: str, content: Mapping[str, Any]
) -> int:
    """Put a rule in force, as a new version where its content is new.

    Parameters
    ----------
    connection : sqlalchemy.Connection
        In a transaction; it holds a lock on the policies of this kind until its end.
    run_id : int
        The run that needs the rule.
    kind : {"acceptance", "products", "ladder", "preference"}
    name : str
    content : mapping
        The rule itself, plain data.

    Returns
    -------
    int
        ``policy_id`` of the rule in force; nothing changes where it already is.
    """
    key = lock_key("policy", kind)
    connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": key})
    rule = {"kind": kind, "name": name, "content": canonical_json(content), "run_id": run_id}
    in_force = policy_in_force(connection, kind, name, content)
    if in_force is not None:
        return in_force
    found = connection.scalar(text(read_sql("statements/find_policy.sql")), rule)
    if found is None:
        found = connection.execute(text(read_sql("statements/insert_policy.sql")), rule).scalar_one()
    connection.execute(text(read_sql("statements/close_policy.sql")), rule)
    connection.execute(text(read_sql("statements/put_policy_in_force.sql")), {**rule, "policy_id": found})
    return int(found)


def policy_in_force(
    connection: Connection, kind: PolicyKind, name: str, content: Mapping[str, Any]
) -> int | None:
    """Return ``policy_id`` of a rule if it is in force with just this content, else None."""
    rule = {"kind": kind, "name": name, "content": canonical_json(content)}
    found = connection.scalar(text(read_sql("statements/find_policy.sql")), rule)
    active = connection.execute(text(read_sql("statements/policy_in_force.sql")), rule).one_or_none()
    if found is None or active is None or active.policy_id != found:
        return None
    return int(found)
