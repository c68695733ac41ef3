"""Policies: named, versioned rules kept as data, one of each kind in force at a time."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, get_args

from hapctl.archive.errors import NotInCatalogError
from hapctl.archive.locks import lock_key
from hapctl.archive.runs import canonical_json
from hapctl.archive.statements import execute
from sqlalchemy import Connection, text

PolicyKind = Literal["acceptance", "products", "ladder", "preference"]
KINDS: tuple[PolicyKind, ...] = get_args(PolicyKind)


@dataclass(frozen=True)
class PolicyRow:
    """A policy with its content."""

    policy_id: int
    name: str
    version: int
    content: Mapping[str, Any]


@dataclass(frozen=True)
class PolicyLine:
    """A policy in a list; ``since`` is None where it is not in force."""

    policy_id: int
    kind: str
    name: str
    version: int
    run_id: int
    since: datetime | None


def ensure_policy(
    connection: Connection, run_id: int, kind: PolicyKind, name: str, content: Mapping[str, Any]
) -> int:
    """Put a rule in force, as a new version where its content is new.

    Parameters
    ----------
    connection : sqlalchemy.Connection
        In a transaction; where the rule is not in force, it holds a lock on the policies of this kind until
        its end.
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
    in_force = policy_in_force(connection, kind, name, content)
    if in_force is not None:
        return in_force  # the usual case, in which runs at once do not wait for each other
    lock_policies(connection, kind)
    in_force = policy_in_force(connection, kind, name, content)
    if in_force is not None:
        return in_force
    found = _recorded(connection, run_id, kind, name, content)
    _put_in_force(connection, run_id, kind, found)
    return found


def record_policy(
    connection: Connection, run_id: int, kind: PolicyKind, name: str, content: Mapping[str, Any]
) -> int:
    """Record a rule without putting it in force, as a new version where its content is new."""
    lock_policies(connection, kind)
    return _recorded(connection, run_id, kind, name, content)


def activate_policy(connection: Connection, run_id: int, kind: PolicyKind, policy_id: int) -> None:
    """Put a recorded rule in force; nothing changes where it already is."""
    lock_policies(connection, kind)
    active = active_policy(connection, kind)
    if active is None or active.policy_id != policy_id:
        _put_in_force(connection, run_id, kind, policy_id)


def lock_policies(connection: Connection, kind: PolicyKind) -> None:
    """Hold the policies of a kind until the end of the transaction."""
    connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": lock_key("policy", kind)})


def _recorded(
    connection: Connection, run_id: int, kind: PolicyKind, name: str, content: Mapping[str, Any]
) -> int:
    rule = {"kind": kind, "name": name, "content": canonical_json(content), "run_id": run_id}
    found = execute(connection, "find_policy", rule).scalar_one_or_none()
    if found is None:
        found = execute(connection, "insert_policy", rule).scalar_one()
    return int(found)


def _put_in_force(connection: Connection, run_id: int, kind: PolicyKind, policy_id: int) -> None:
    row = {"kind": kind, "run_id": run_id, "policy_id": policy_id}
    execute(connection, "close_policy", row)
    execute(connection, "put_policy_in_force", row)


def policy_in_force(
    connection: Connection, kind: PolicyKind, name: str, content: Mapping[str, Any]
) -> int | None:
    """Return ``policy_id`` of a rule if it is in force with just this content, else None."""
    rule = {"kind": kind, "name": name, "content": canonical_json(content)}
    found = execute(connection, "find_policy", rule).scalar_one_or_none()
    active = active_policy(connection, kind)
    if found is None or active is None or active.policy_id != found:
        return None
    return int(found)


def active_policy(connection: Connection, kind: PolicyKind) -> PolicyRow | None:
    """Return the policy of a kind that is in force, if there is one."""
    row = execute(connection, "policy_in_force", {"kind": kind}).mappings().one_or_none()
    return None if row is None else PolicyRow(**row)


def named_policy(connection: Connection, kind: PolicyKind, name: str) -> PolicyRow:
    """Return the newest version of a policy, or that of ``NAME@version``.

    Raises
    ------
    NotInCatalogError
        There is none; the remedy lists those there are.
    """
    plain, _, version = name.partition("@")
    wanted = {"kind": kind, "name": plain, "version": int(version) if version.isdecimal() else None}
    row = execute(connection, "named_policy", wanted).mappings().one_or_none()
    if row is None or (version and not version.isdecimal()):
        known = ", ".join(f"{line.name}@{line.version}" for line in list_policies(connection, kind))
        raise NotInCatalogError(f"no {kind} policy {name} in the catalog", f"there is {known or 'none'}")
    return PolicyRow(**row)


def policy_numbered(connection: Connection, kind: PolicyKind, policy_id: int) -> PolicyRow:
    """Return a policy by its ``policy_id``; NotInCatalogError where there is none of that kind."""
    row = (
        execute(connection, "policy_numbered", {"kind": kind, "policy_id": policy_id})
        .mappings()
        .one_or_none()
    )
    if row is None:
        raise NotInCatalogError(f"no {kind} policy with policy_id {policy_id} in the catalog")
    return PolicyRow(**row)


def list_policies(connection: Connection, kind: PolicyKind | None = None) -> list[PolicyLine]:
    """Return all policies, or those of a kind, by kind, name and version."""
    rows = execute(connection, "list_policies", {"kind": kind})
    return [PolicyLine(**row) for row in rows.mappings()]
