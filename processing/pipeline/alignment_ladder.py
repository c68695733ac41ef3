"""The ladder of an alignment: which catalogs, methods and geometries are tried in what order, as data.

A ladder is a policy row (kind ``ladder``). Each of its steps names a catalog, the methods to be tried with it
and the geometries; its rungs are all combinations, in order. The climb ends at the first rung on which
anything is accepted.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, get_args

from hapctl.processing.astrometry.acceptance import AcceptanceRule
from hapctl.processing.astrometry.joint_model import ExposurePrior
from hapctl.processing.errors import UsageProblemError

Method = Literal["relative", "histogram", "direct"]
Geometry = Literal["prior", "shift", "rshift", "rscale", "general"]

GAIA = "GAIA"
"""In a ladder: the release of Gaia that is configured (gaia.release)."""
NONE = "NONE"
"""In a ladder: the exposures onto each other only."""
_HELD_ROLL_DEG, _HELD_SCALE, _FREE_SKEW = 1e-7, 1e-9, 1e-3
_FREE_ROLL_DEG, _FREE_SCALE = 0.2, 1e-3


@dataclass(frozen=True)
class Rung:
    """One try.

    Attributes
    ----------
    number : int
        From 1.
    catalog : str
        As in WCSNAME; `GAIA` for the release configured, `NONE` for none.
    method : {"relative", "histogram", "direct"}
        All exposures together; each by itself, with the search; each by itself, where its WCS puts it.
    geometry : {"prior", "shift", "rshift", "rscale", "general"}
        ``prior``: what is known of pointing, roll and scale decides; the others hold or free what their
        names say, whatever is known.
    rule : mapping
        Entries of the rule of acceptance that differ on this rung.
    """

    number: int
    catalog: str
    method: Method = "relative"
    geometry: Geometry = "prior"
    rule: Mapping[str, Any] = field(default_factory=dict)

    @property
    def is_relative_only(self) -> bool:
        """Whether no catalog is asked for."""
        return self.catalog == NONE

    def fit_geometry(self, prior: ExposurePrior) -> str:
        """How FITGEOM names it: by priors a fit has shift, roll, scale, and skew where none is known."""
        by_prior = "general" if prior.skew > 0 else "rscale"
        return by_prior if self.geometry == "prior" else self.geometry

    def rule_for(self, rule: AcceptanceRule) -> AcceptanceRule:
        """The rule of acceptance on this rung."""
        if self.method == "direct":
            radius, roll = rule.direct_radius_arcsec, rule.direct_roll_deg
            rule = replace(rule, search_radius_arcsec=radius, search_roll_deg=roll)
        if not self.rule:
            return rule
        return AcceptanceRule.from_content(rule.name, rule.version, {**rule.content(), **self.rule})

    def prior_for(self, prior: ExposurePrior) -> ExposurePrior:
        """What is taken as known of an exposure on this rung."""
        if self.geometry == "prior":
            return prior
        roll = _HELD_ROLL_DEG if self.geometry == "shift" else _FREE_ROLL_DEG
        scale = _FREE_SCALE if self.geometry in ("rscale", "general") else _HELD_SCALE
        skew = _FREE_SKEW if self.geometry == "general" else 0.0
        relative = min(roll, prior.relative_roll_deg) if self.geometry == "shift" else roll
        return replace(
            prior, roll_deg=roll, scale=scale, skew=skew, relative_roll_deg=relative, covariance=None
        )


_DEFAULT: tuple[Mapping[str, Any], ...] = (
    {"catalog": GAIA, "methods": ["relative", "histogram"]},
    {"catalog": "GSC242", "methods": ["relative", "histogram"]},
    {"catalog": "2MASS", "methods": ["relative", "histogram"]},
    {"catalog": NONE},
)


@dataclass(frozen=True)
class Ladder:
    """A named list of rungs.

    Attributes
    ----------
    name : str
    rungs : tuple of Rung
    steps : tuple of mapping
        What the rungs were made from, as kept in the policy row.
    """

    name: str
    rungs: tuple[Rung, ...]
    steps: tuple[Mapping[str, Any], ...]

    @classmethod
    def default(cls) -> "Ladder":
        """Gaia, GSC 2.4.2, 2MASS, then the exposures onto each other."""
        return cls.from_content("ladder-default", {"steps": list(_DEFAULT)})

    @classmethod
    def of_catalog(cls, catalog: str) -> "Ladder":
        """One catalog that the user named, then the exposures onto each other; only these for `NONE`."""
        steps = [] if catalog == NONE else [{"catalog": catalog, "methods": ["relative", "histogram"]}]
        return cls.from_content(f"catalog-{catalog}", {"steps": [*steps, {"catalog": NONE}]})

    @classmethod
    def from_content(cls, name: str, content: Mapping[str, Any]) -> "Ladder":
        """From a policy row: ``{"steps": [{"catalog", "methods", "geometries", "rule"}, ...]}``.

        Raises
        ------
        UsageProblemError
            A step names what there is not.
        """
        steps = content.get("steps")
        if set(content) != {"steps"} or not isinstance(steps, list) or not steps:
            raise UsageProblemError(
                f"ladder {name}: it holds no list of steps", 'such as {"steps": [{"catalog": "GAIA"}]}'
            )
        rungs: list[Rung] = []
        for step in steps:
            rungs += _rungs_of(name, step, len(rungs))
        return cls(name, tuple(rungs), tuple(steps))

    def content(self) -> dict[str, Any]:
        """As it is kept in a policy row."""
        return {"steps": [dict(step) for step in self.steps]}

    def for_exposures(self, number: int) -> list[Rung]:
        """The rungs for so many exposures: one alone is tried once with each catalog, and not on others."""
        if number > 1:
            return list(self.rungs)
        return [rung for rung in self.rungs if not rung.is_relative_only and not _repeats(rung, self.rungs)]


def _repeats(rung: Rung, rungs: Sequence[Rung]) -> bool:
    """Whether a rung is, for a single exposure, the same as one before."""
    if rung.method != "histogram":
        return False
    same = (rung.catalog, rung.geometry, rung.rule)
    return any(
        other.number < rung.number
        and other.method == "relative"
        and (other.catalog, other.geometry, other.rule) == same
        for other in rungs
    )


def _rungs_of(name: str, step: Any, before: int) -> list[Rung]:
    known = {"catalog", "methods", "geometries", "rule"}
    if not isinstance(step, Mapping) or "catalog" not in step or set(step) - known:
        raise UsageProblemError(
            f"ladder {name}: the step {step!r} is not one", f"it has a catalog, and may have {sorted(known)}"
        )
    methods = _listed(name, step.get("methods", ["relative"]), get_args(Method))
    geometries = _listed(name, step.get("geometries", ["prior"]), get_args(Geometry))
    catalog, rule = step["catalog"], step.get("rule", {})
    if not isinstance(catalog, str) or not catalog or not isinstance(rule, Mapping):
        raise UsageProblemError(
            f"ladder {name}: the step {step!r} is not one", "its catalog is a name, its rule a table"
        )
    AcceptanceRule.from_content(f"of ladder {name}", 1, rule)
    pairs = [(method, geometry) for method in methods for geometry in geometries]
    return [
        Rung(before + number, catalog, method, geometry, rule)  # type: ignore[arg-type]
        for number, (method, geometry) in enumerate(pairs, 1)
    ]


def _listed(name: str, values: Any, known: Sequence[str]) -> list[str]:
    wrong = [value for value in values if value not in known] if isinstance(values, list) else [values]
    if wrong or not values:
        raise UsageProblemError(f"ladder {name}: {values!r} is not known", f"a list of {', '.join(known)}")
    return list(values)
