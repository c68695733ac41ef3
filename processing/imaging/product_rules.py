"""How products are drizzled, as ordered rules: conditions, and the parameters that they set.

Where nothing says otherwise AstroDrizzle's defaults hold (`parameters`); then each rule whose conditions a
product meets sets its values, in order; then come the settings of a command. What comes last holds, and for
each parameter it is known which rules set it. The rules of HAP are in `product_seed`.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from fnmatch import fnmatchcase
from functools import lru_cache, partial
from typing import Any, Literal, get_args

from hapctl.processing.errors import UsageProblemError
from hapctl.processing.imaging.defaults import NATIVE_SCALE_ARCSEC, Level
from hapctl.processing.imaging.parameters import DRIZZLE, DrizzleParameters
from hapctl.processing.parameter_file import Change, changed, parse_setting
from hapctl.processing.parameter_values import Parameter, Value

FilterKind = Literal["plain", "polariser", "grism", "ramp", "quad"]
LEVELS: tuple[Level, ...] = get_args(Level)
KINDS: tuple[FilterKind, ...] = get_args(FilterKind)
_OF_THE_GRID = ("scale", "rotation", "reference", "ra", "dec", "shape", "crpix")
_NOT_OF_PRODUCTS: Mapping[str, str] = {
    **{f"final.{name}": "the grid of a product is that of its visit, tile or field" for name in _OF_THE_GRID},
    "final.enabled": "a product always has its final image",
    "final.units": "products are in electrons per second",
    "sky.file": "a file of sky values is for 'hapctl drizzle': a product is made from the catalog",
    "lookup_origin": "it is chosen with --lookup-origin",
}
"""Parameters of `hapctl drizzle` that no rule and no setting of a product may give, and why."""


@dataclass(frozen=True)
class ProductCase:
    """What the rules look at.

    Attributes
    ----------
    detector : str
        WFC, HRC, SBC, UVIS, IR or PC (all of WFPC2).
    level : {"exposure", "filter", "total", "layer"}
        Cosmic rays are found by the parameters of ``filter``.
    exposures : int
        How many there are of its filter; of a total, of that filter which has most.
    start_mjd : float
        Start of the first of them.
    filter : str
        As in HAP names; of a total, that of its first exposure.
    visits : tuple of str
        Of its exposures.
    """

    detector: str
    level: Level
    exposures: int
    start_mjd: float
    filter: str = ""
    visits: tuple[str, ...] = ()

    @property
    def filter_kind(self) -> FilterKind:
        """What kind of element is in the beam, by its name."""
        return filter_kind(self.filter)


def filter_kind(name: str) -> FilterKind:
    """Return the kind of a filter, such as ``polariser`` of ``f606w-pol0v``."""
    elements = name.lower().split("-")
    starts: dict[FilterKind, tuple[str, ...]] = {
        "grism": ("g", "pr"),
        "ramp": ("fr",),
        "quad": ("fq",),
        "polariser": ("pol",),
    }
    for kind, beginnings in starts.items():
        if any(element.startswith(beginnings) for element in elements):
            return kind
    return "plain"


@dataclass(frozen=True)
class Condition:
    """Which products a rule is for: all of them, but for what is given.

    Attributes
    ----------
    detectors, levels, kinds : tuple of str
        One of these.
    filters, visits : tuple of str
        Names or patterns (``f6*``): the filter is like one of them; each of the visits is.
    exposures_min, exposures_max : int or None
        Inclusive.
    mjd_from, mjd_before : float or None
        The first exposure starts at or after, before.
    """

    detectors: tuple[str, ...] = ()
    levels: tuple[Level, ...] = ()
    filters: tuple[str, ...] = ()
    kinds: tuple[FilterKind, ...] = ()
    visits: tuple[str, ...] = ()
    exposures_min: int | None = None
    exposures_max: int | None = None
    mjd_from: float | None = None
    mjd_before: float | None = None

    def holds(self, case: ProductCase) -> bool:
        """Tell whether a product is one of these."""
        return (
            (not self.detectors or case.detector in self.detectors)
            and (not self.levels or case.level in self.levels)
            and (not self.kinds or case.filter_kind in self.kinds)
            and (not self.filters or _like(case.filter, self.filters))
            and (not self.visits or _all_like(case.visits, self.visits))
            and _at_least(case.exposures, self.exposures_min)
            and (self.exposures_max is None or case.exposures <= self.exposures_max)
            and _at_least(case.start_mjd, self.mjd_from)
            and (self.mjd_before is None or case.start_mjd < self.mjd_before)
        )

    def content(self) -> dict[str, Any]:
        """Return what is given, as plain data."""
        given = {one.name: getattr(self, one.name) for one in fields(self)}
        plain = {name: list(value) if isinstance(value, tuple) else value for name, value in given.items()}
        return {name: value for name, value in plain.items() if value not in (None, [])}


def _at_least(value: float, limit: float | None) -> bool:
    return limit is None or value >= limit


def _like(name: str, patterns: Sequence[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def _all_like(names: Sequence[str], patterns: Sequence[str]) -> bool:
    return bool(names) and all(_like(name, patterns) for name in names)


@dataclass(frozen=True)
class ProductRule:
    """A rule: its name, which products it is for, and the values that it sets, by ``step.name``."""

    name: str
    condition: Condition
    values: tuple[tuple[str, Value], ...]

    def content(self) -> dict[str, Any]:
        """Return the rule as plain data; no value is the text ``none``."""
        plain = {name: "none" if value is None else value for name, value in self.values}
        values = {name: list(value) if isinstance(value, tuple) else value for name, value in plain.items()}
        return {"name": self.name, **self.condition.content(), "set": values}


@dataclass(frozen=True)
class Reason:
    """Why a parameter has its value.

    Attributes
    ----------
    parameter : str
        ``step.name``.
    value : value
    rule : str
        What set it last: a rule, or the setting of a command.
    overridden : tuple of (str, value)
        What had set it before, in order.
    """

    parameter: str
    value: Value
    rule: str
    overridden: tuple[tuple[str, Value], ...] = ()


@dataclass(frozen=True)
class ChosenRules:
    """The parameters of a product, why they have their values, and the rules it met."""

    drizzle: DrizzleParameters
    why: tuple[Reason, ...]
    rules: tuple[str, ...]


@dataclass(frozen=True)
class ProductRules:
    """Ordered rules: the last one that sets a parameter holds."""

    rules: tuple[ProductRule, ...]

    def chosen(self, case: ProductCase, settings: Sequence[str] = ()) -> ChosenRules:
        """Return the parameters of a product, and which rule set each of them.

        Parameters
        ----------
        case : ProductCase
        settings : sequence of str
            ``step.name=value``: they come after all rules.

        Raises
        ------
        UsageProblemError
            There are no parameters for the detector, or a setting will not do.
        """
        if case.detector not in NATIVE_SCALE_ARCSEC:
            raise UsageProblemError(f"no drizzle parameters for detector {case.detector}")
        return _applied(self.met(case), tuple(settings))

    def met(self, case: ProductCase) -> tuple[ProductRule, ...]:
        """Return the rules that are for a product, in order."""
        return tuple(rule for rule in self.rules if rule.condition.holds(case))

    def content(self) -> list[dict[str, Any]]:
        """Return the rules as plain data, which `rules_from_content` reads back to the same rules."""
        return [rule.content() for rule in self.rules]

    def followed_by(self, rule: ProductRule) -> "ProductRules":
        """Return these rules and another one after them; it replaces one of its name."""
        return ProductRules((*(one for one in self.rules if one.name != rule.name), rule))


@lru_cache(maxsize=512)
def _applied(rules: tuple[ProductRule, ...], settings: tuple[str, ...]) -> ChosenRules:
    """Apply rules and settings to AstroDrizzle's defaults; products that meet the same rules share it."""
    changes = [Change(DRIZZLE.find(name), value, rule.name) for rule in rules for name, value in rule.values]
    changes += [parse_setting(DRIZZLE, text) for text in settings]
    history: dict[str, list[tuple[str, Value]]] = {}
    for one in changes:
        history.setdefault(one.parameter.full_name, []).append((one.origin, one.value))
    why = tuple(
        Reason(name, steps[-1][1], steps[-1][0], tuple(steps[:-1])) for name, steps in history.items()
    )
    return ChosenRules(changed(DrizzleParameters(), changes), why, tuple(rule.name for rule in rules))


Where = Callable[[int, str], str]
"""Names the place of a rule (from 0) and of an entry in it (empty: the rule itself), for messages."""


def rules_from_content(content: Any, where: Where | None = None) -> ProductRules:
    """Return rules from plain data, all of it checked.

    Parameters
    ----------
    content : list of mappings
        Of each rule ``name``, conditions (`Condition`) and ``set``, values by ``step.name``.
    where : callable, optional
        Names places for messages; by default the number of the rule.

    Raises
    ------
    UsageProblemError
        A rule has no name or no values, the name of another one, an entry that is not known, or a value
        that will not do.
    """
    place = where or _by_number
    if not isinstance(content, Sequence) or isinstance(content, str) or not content:
        raise UsageProblemError("there are no rules", "give one [[rule]] at least, with name and set")
    rules = [_rule(one, partial(place, number)) for number, one in enumerate(content)]
    names = [rule.name for rule in rules]
    for number, name in enumerate(names):
        if name in names[:number]:
            raise UsageProblemError(f"{place(number, 'name')}: a rule {name!r} stands before", "rename one")
    return ProductRules(tuple(rules))


def _by_number(number: int, entry: str) -> str:
    return f"rule {number + 1}, {entry}" if entry else f"rule {number + 1}"


def _rule(document: Any, place: Callable[[str], str]) -> ProductRule:
    if not isinstance(document, Mapping):
        raise UsageProblemError(f"{place('')}: no rule", "a rule has name, conditions and set")
    name, values = document.get("name"), document.get("set")
    if not isinstance(name, str) or not name.strip():
        raise UsageProblemError(f"{place('')}: a rule without a name", 'write name = "..."')
    if not isinstance(values, Mapping) or not values:
        raise UsageProblemError(
            f"{place('')}: the rule {name!r} sets nothing", 'write set."step.name" = value'
        )
    conditions = {key: value for key, value in document.items() if key not in ("name", "set")}
    read = {key: _condition(key, value, place) for key, value in conditions.items()}
    return ProductRule(name, Condition(**read), tuple(_values(values, place)))


def _values(values: Mapping[str, Any], place: Callable[[str], str]) -> Iterator[tuple[str, Value]]:
    for name, value in _flat(values):
        try:
            parameter = product_parameter(name)
            yield name, parameter.from_toml(list(value) if isinstance(value, tuple) else value)
        except UsageProblemError as error:
            raise UsageProblemError(f"{place(name)}: {error.message}", error.remedy) from error


def _flat(values: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{before}{name}.")
        else:
            yield f"{before}{name}", value


def product_parameter(name: str) -> Parameter:
    """Return a parameter that rules may set.

    Raises
    ------
    UsageProblemError
        There is none of that name, or it is none of products.
    """
    parameter = DRIZZLE.find(name)
    if name in _NOT_OF_PRODUCTS:
        raise UsageProblemError(f"{name} is no parameter of products", _NOT_OF_PRODUCTS[name])
    return parameter


_LISTS: Mapping[str, tuple[str, ...]] = {
    "detectors": tuple(NATIVE_SCALE_ARCSEC),
    "levels": LEVELS,
    "kinds": KINDS,
    "filters": (),
    "visits": (),
}
"""Conditions that are lists, with what may be in them; nothing: any name or pattern."""
_NUMBERS: Mapping[str, type] = {
    "exposures_min": int,
    "exposures_max": int,
    "mjd_from": float,
    "mjd_before": float,
}


def _condition(key: str, value: Any, place: Callable[[str], str]) -> Any:
    if key in _LISTS:
        return _names(key, value, place)
    if key not in _NUMBERS:
        known = ", ".join((*_LISTS, *_NUMBERS))
        raise UsageProblemError(f"{place(key)}: there is no condition {key!r}", f"one of {known}")
    whole = isinstance(value, int) and not isinstance(value, bool)
    if _NUMBERS[key] is int and whole and value >= 1:
        return value
    if _NUMBERS[key] is float and (whole or isinstance(value, float)) and math.isfinite(value):
        return float(value)
    expected = "a whole number from 1" if _NUMBERS[key] is int else "a modified Julian date"
    raise UsageProblemError(f"{place(key)}: {key} = {value!r} will not do", f"give {expected}")


def _names(key: str, value: Any, place: Callable[[str], str]) -> tuple[str, ...]:
    names = [value] if isinstance(value, str) else value
    if not isinstance(names, list) or not names or not all(isinstance(one, str) and one for one in names):
        raise UsageProblemError(f"{place(key)}: {key} = {value!r} will not do", "give a list of names")
    known = {one.lower(): one for one in _LISTS[key]}
    unknown = [one for one in names if known and one.lower() not in known]
    if unknown:
        raise UsageProblemError(
            f"{place(key)}: {unknown[0]!r} is not one of {key}", f"one of {', '.join(_LISTS[key])}"
        )
    return tuple(known.get(one.lower(), one.lower()) for one in names)
