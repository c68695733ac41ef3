"""Rules of products: HAP's values in every case, the order of rules, and what is refused."""

from itertools import product

import pytest
from hapctl.processing.errors import UsageProblemError
from hapctl.processing.imaging.defaults import NATIVE_SCALE_ARCSEC, UVIS_CHANGE_MJD
from hapctl.processing.imaging.product_rules import (
    LEVELS,
    Condition,
    ProductCase,
    ProductRule,
    rules_from_content,
)
from hapctl.processing.imaging.product_seed import drizzle_defaults, hap_rules
from support.hap_table import drizzle_table

_FILTERS = {
    "SBC": ("f115lp", "f122m", "f150lp"),
    "PC": ("f606w", "fquvn"),
    "IR": ("f160w",),
}


@pytest.mark.parametrize("detector", NATIVE_SCALE_ARCSEC)
def test_the_rules_of_hap_give_its_table_in_every_case(detector: str) -> None:
    cases = product(
        LEVELS,
        range(1, 9),
        (UVIS_CHANGE_MJD - 1000.0, UVIS_CHANGE_MJD - 1e-6, UVIS_CHANGE_MJD, UVIS_CHANGE_MJD + 3000.0),
        _FILTERS.get(detector, ("f606w", "clear", "f606w-pol0v")),
    )
    for level, exposures, start, name in cases:
        expected = drizzle_table(detector, start, level, exposures, name)
        assert drizzle_defaults(detector, start, level, exposures, name) == expected, (level, exposures)


def test_wfpc2_has_a_filter_of_the_name_of_a_blue_one_of_sbc() -> None:
    """HAP's rule for the blue of SBC is for SBC, though F122M is a filter of WFPC2, too."""
    assert drizzle_defaults("PC", 50000.0, "filter", 6, "f122m").final.pixfrac == 1.0


def test_rules_are_read_back_from_their_content() -> None:
    assert rules_from_content(hap_rules().content()) == hap_rules()


def _rule(name: str, value: float, **conditions: object) -> ProductRule:
    return ProductRule(name, Condition(**conditions), (("final.pixfrac", value),))  # type: ignore[arg-type]


def test_the_last_rule_holds_and_what_it_overrides_is_told() -> None:
    rules = hap_rules().followed_by(_rule("sharp", 0.6, detectors=("WFC",), levels=("filter",)))
    case = ProductCase("WFC", "filter", 6, 57000.0, "f606w", ("j8bt06",))
    chosen = rules.chosen(case)
    why = {one.parameter: one for one in chosen.why}
    assert chosen.drizzle.final.pixfrac == 0.6
    assert why["final.pixfrac"].rule == "sharp"
    assert why["final.pixfrac"].overridden == (("CCD, six or more of a filter", 0.8),)
    assert why["median.type"].rule == "CCD, six or more"
    assert why["sky.method"].rule == "HAP"
    set_by_hand = rules.chosen(case, ("final.pixfrac=0.7",))
    assert set_by_hand.drizzle.final.pixfrac == 0.7
    (reason,) = [one for one in set_by_hand.why if one.parameter == "final.pixfrac"]
    assert (reason.rule, reason.overridden[-1]) == ("--set final.pixfrac=0.7", ("sharp", 0.6))


@pytest.mark.parametrize(
    ("conditions", "holds"),
    [
        ({"detectors": ("WFC", "HRC")}, True),
        ({"detectors": ("HRC",)}, False),
        ({"levels": ("layer",)}, False),
        ({"filters": ("f6*",)}, True),
        ({"filters": ("f6?5w",)}, False),
        ({"kinds": ("polariser",)}, True),
        ({"kinds": ("plain", "grism")}, False),
        ({"visits": ("j8bt*",)}, True),
        ({"visits": ("j8bt06",)}, False),
        ({"exposures_min": 4, "exposures_max": 4}, True),
        ({"exposures_min": 5}, False),
        ({"exposures_max": 3}, False),
        ({"mjd_from": 57000.0}, True),
        ({"mjd_before": 57000.0}, False),
    ],
)
def test_conditions(conditions: dict[str, object], holds: bool) -> None:
    case = ProductCase("WFC", "filter", 4, 57000.0, "f606w-pol0v", ("j8bt06", "j8bt07"))
    assert Condition(**conditions).holds(case) is holds  # type: ignore[arg-type]


def test_a_rule_for_visits_is_not_for_a_product_of_unknown_visits() -> None:
    assert not Condition(visits=("*",)).holds(ProductCase("WFC", "filter", 4, 57000.0))


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        ({"set": {"final.pixfrac": 0.5}}, "without a name"),
        ({"name": "a"}, "sets nothing"),
        ({"name": "a", "set": {"final.pixfrac": 7.0}}, "pixfrac"),
        ({"name": "a", "set": {"final.pixfrack": 0.5}}, "no parameter 'final.pixfrack'"),
        ({"name": "a", "set": {"finel": {"pixfrac": 0.5}}}, "no step 'finel'"),
        ({"name": "a", "set": {"final.scale": 0.04}}, "no parameter of products"),
        ({"name": "a", "set": {"lookup_origin": "fits"}}, "no parameter of products"),
        ({"name": "a", "detectors": ["NICMOS"], "set": {"final.pixfrac": 0.5}}, "'NICMOS' is not one of"),
        ({"name": "a", "filters": [], "set": {"final.pixfrac": 0.5}}, "filters = "),
        ({"name": "a", "colour": "blue", "set": {"final.pixfrac": 0.5}}, "no condition 'colour'"),
        ({"name": "a", "exposures_min": 1.5, "set": {"final.pixfrac": 0.5}}, "exposures_min = 1.5"),
        ({"name": "a", "mjd_from": True, "set": {"final.pixfrac": 0.5}}, "mjd_from = True"),
        ("a", "no rule"),
    ],
)
def test_what_will_not_do_is_refused_by_its_place(rule: object, words: str) -> None:
    good = {"name": "good", "set": {"final.pixfrac": 0.5}}
    with pytest.raises(UsageProblemError, match=words) as refused:
        rules_from_content([good, rule])
    assert refused.value.message.startswith("rule 2")


def test_two_rules_of_one_name_are_refused() -> None:
    good = {"name": "good", "set": {"final.pixfrac": 0.5}}
    with pytest.raises(UsageProblemError, match="stands before"):
        rules_from_content([good, good])
