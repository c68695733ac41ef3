"""Policies of alignment checked before they become rows: acceptance, ladder, preference."""

from collections.abc import Mapping
from math import isfinite
from typing import Any, cast

from hapctl.archive.policies import PolicyKind, PolicyRow
from hapctl.archive.preferences import Preference
from hapctl.processing.astrometry.acceptance import AcceptanceRule
from hapctl.processing.errors import UsageProblemError
from hapctl.processing.pipeline.alignment_ladder import GAIA, NONE, Ladder
from hapctl.processing.pipeline.alignment_reference import reference_name


def default_policy(kind: PolicyKind) -> PolicyRow:
    """The policy of this software, as a row that is not recorded (version 0)."""
    if kind == "acceptance":
        rule = AcceptanceRule()
        return PolicyRow(0, rule.name, 0, rule.content())
    if kind == "ladder":
        return PolicyRow(0, Ladder.default().name, 0, Ladder.default().content())
    return PolicyRow(0, Preference().name, 0, Preference().content())


def checked_policy(document: Mapping[str, Any]) -> tuple[PolicyKind, str, dict[str, Any]]:
    """Return kind, name and complete content of a policy that a user wrote.

    Raises
    ------
    UsageProblemError
        Something in it is not known, or not of the right kind.
    CatalogUsageError
        The same, of a preference.
    """
    kind, name, content = (document.get(key) for key in ("kind", "name", "content"))
    if kind not in ("acceptance", "ladder", "preference"):
        raise UsageProblemError(f"{kind!r} is no kind of policy", "one of acceptance, ladder, preference")
    if not isinstance(name, str) or not name or "@" in name:
        raise UsageProblemError(f"{name!r} is no name of a policy", "a word without @")
    if not isinstance(content, Mapping):
        raise UsageProblemError(f"policy {name} has no content", "a table named content")
    if kind == "acceptance":
        checked = {**AcceptanceRule().content(), **checked_rule(name, content)}
    elif kind == "ladder":
        checked = _checked_ladder(name, content)
    else:
        checked = Preference.from_content(name, content).content()
    return cast("PolicyKind", kind), name, checked


def _checked_ladder(name: str, content: Mapping[str, Any]) -> dict[str, Any]:
    """A ladder whose catalogs are known, and whose rules have entries of the right kind."""
    ladder = Ladder.from_content(name, content)
    for rung in ladder.rungs:
        checked_rule(f"ladder {name}", rung.rule)
        if rung.catalog not in (GAIA, NONE):
            reference_name(rung.catalog)
    return ladder.content()


def checked_rule(name: str, changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return entries of a rule of acceptance if it has them and they are of the same kind.

    Raises
    ------
    UsageProblemError
        Naming the entry.
    """
    AcceptanceRule.from_content(name, 1, changes)
    default = AcceptanceRule().content()
    for key, value in changes.items():
        if not _alike(value, default[key]):
            raise UsageProblemError(f"{name}: {key} = {value!r} is not like {default[key]!r}", "a number")
    return dict(changes)


def _alike(value: Any, default: Any) -> bool:
    if isinstance(default, Mapping):
        return isinstance(value, Mapping) and all(_alike(number, 0) for number in value.values())
    number = isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value)
    return number and (isinstance(default, float) or isinstance(value, int))
