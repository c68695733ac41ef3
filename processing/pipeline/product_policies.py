"""The policy of products: which rules are in force, and those a product was made under.

Rules are rows of the kind ``products`` that only ever get newer versions. ``hap`` is this software's own:
it is recorded by the first run, and again, as a new version, by the first run of other software. What a user
put in force stays in force.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hapctl.archive.policies import (
    PolicyRow,
    activate_policy,
    active_policy,
    lock_policies,
    policy_numbered,
    record_policy,
)
from hapctl.archive.runs import canonical_json
from hapctl.processing.errors import UsageProblemError
from hapctl.processing.imaging.product_rules import ProductRules, rules_from_content
from hapctl.processing.imaging.product_seed import hap_rules
from hapctl.processing.pipeline.engine import ENGINE, software_name
from sqlalchemy import Connection

if TYPE_CHECKING:
    from hapctl.processing.pipeline.policy_effects import PolicyEffect

OWN_NAME = "hap"
"""Name of this software's own rules."""


@dataclass(frozen=True)
class RulesInForce:
    """Rules of products, and the policy they are of.

    Attributes
    ----------
    rules : ProductRules
    name : str
    version : int
        0: to be recorded by the next run.
    policy_id : int
        0: to be recorded by the next run.
    """

    rules: ProductRules
    name: str
    version: int
    policy_id: int


def policy_content(rules: ProductRules) -> dict[str, Any]:
    """Return what a policy of products holds: rules, and the software and engine they were used with."""
    return {"software": software_name(), "engine": ENGINE, "rules": rules.content()}


def rules_of(policy: PolicyRow) -> ProductRules:
    """Return the rules of a policy.

    Policies of catalogs made before there were rules hold a table of HAP's values, which its rules give.

    Raises
    ------
    UsageProblemError
        It was written by software that knows other rules.
    """
    if "rules" not in policy.content:
        return hap_rules()
    try:
        return rules_from_content(policy.content["rules"])
    except UsageProblemError as error:
        raise UsageProblemError(f"{policy.name}@{policy.version}: {error.message}", error.remedy) from error


def rules_of_policy(connection: Connection, policy_id: int) -> ProductRules:
    """Return the rules that a product was made under.

    Raises
    ------
    NotInCatalogError
        There is no such policy of products.
    """
    return rules_of(policy_numbered(connection, "products", policy_id))


def rules_in_force(connection: Connection) -> RulesInForce:
    """Return the rules that the next run takes; nothing is recorded."""
    active = active_policy(connection, "products")
    if active is None:
        return RulesInForce(hap_rules(), OWN_NAME, 0, 0)
    rules = hap_rules() if active.name == OWN_NAME else rules_of(active)
    if canonical_json(active.content) == canonical_json(policy_content(rules)):
        return RulesInForce(rules, active.name, active.version, active.policy_id)
    return RulesInForce(rules, active.name, 0, 0)


def ensure_rules(connection: Connection, run_id: int) -> RulesInForce:
    """Return the rules in force, recorded for this software where they were not.

    This software's own are put in force if there are no others. A user's stay in force; under new software
    they get a new version with the same rules.
    """
    found = rules_in_force(connection)
    if found.policy_id:
        return found
    lock_policies(connection, "products")
    found = rules_in_force(connection)  # what somebody put in force meanwhile holds
    policy_id = found.policy_id or _recorded(connection, run_id, found)
    row = policy_numbered(connection, "products", policy_id)
    return RulesInForce(found.rules, row.name, row.version, policy_id)


def _recorded(connection: Connection, run_id: int, found: RulesInForce) -> int:
    policy_id = record_policy(connection, run_id, "products", found.name, policy_content(found.rules))
    put_rules_in_force(connection, run_id, policy_id)
    return policy_id


def put_rules_in_force(connection: Connection, run_id: int, policy_id: int) -> "PolicyEffect":
    """Put recorded rules in force; products that are the same under them are told to be current."""
    from hapctl.processing.pipeline.policy_effects import tell_same  # needs the pixels' side of the house

    activate_policy(connection, run_id, "products", policy_id)
    return tell_same(connection, run_id, rules_of_policy(connection, policy_id), policy_id)
