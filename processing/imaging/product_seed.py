"""The rules of HAP: how each detector is drizzled, by level of the product and number of exposures.

The values are those of HAP's parameter files (hap_reference 3.5 to 3.7 and 4.6). Set right here: the total
of a detector accepts the flags that its filter products accept, for image and sky (HAP: 96 against 64 on
HRC, 96 against 352 on UVIS before 2012-11-08); a layer of a single IR, SBC or WFPC2 exposure leaves out the
flags that its filter product leaves out (HAP: none); and ``grow`` is a radius (HAP's 1 means none). Sky is
matched everywhere, of WFPC2, too (HAP: localmin): of a single exposure nothing is then subtracted, as in
HAP, but its sky is known.
WFC3/IR accepts flag 512 (blobs), as HAP does: a blob dims a pixel by some per cent, which its flat field
mostly makes good, and rejecting it would leave holes in undithered images; ``hapctl params set --detector
IR final.bits=16`` leaves them out. Persistence has no flag: files that mark it do so with bits that are
accepted by nobody.
"""

from functools import lru_cache
from typing import Any

from hapctl.processing.imaging.defaults import UVIS_CHANGE_MJD, Level
from hapctl.processing.imaging.parameters import DrizzleParameters
from hapctl.processing.imaging.product_rules import ProductCase, ProductRules, rules_from_content

_ALL = 65535
_CCD = ["WFC", "HRC", "UVIS"]
_SBC_BLUE = ["f115lp", "f122m"]
_COMPARED = ["WFC", "HRC", "UVIS", "IR", "PC"]
_STEPS = ("static_mask", "separate", "median", "blot", "cosmic_rays")


def _rule(name: str, set: dict[str, Any], **conditions: Any) -> dict[str, Any]:
    return {"name": name, **conditions, "set": set}


def _flags(sky: int, separate: int, final: int) -> dict[str, Any]:
    return {"sky.bits": sky, "separate.bits": separate, "final.bits": final}


def _several(detector: str, bits: int, layer: int | str) -> list[dict[str, Any]]:
    """Of several exposures: flags of their filter product and total, and of a layer."""
    of_visit: dict[str, Any] = {"levels": ["filter", "total"], "exposures_min": 2}
    return [
        _rule(f"{detector}, several", {"final.bits": bits}, detectors=[detector], **of_visit),
        _rule(
            f"{detector}, layer of several",
            {"final.bits": layer},
            detectors=[detector],
            levels=["layer"],
            exposures_min=2,
        ),
    ]


_CONTENT: list[dict[str, Any]] = [
    _rule(
        "HAP",
        {
            **{f"{step}.enabled": False for step in _STEPS},
            "sky.method": "match",
            "sky.lower": -100.0,
            "separate.kernel": "square",
            "median.nhigh": 1,
            "cosmic_rays.scale": [1.5, 1.2],
        },
    ),
    _rule(
        "several exposures of a filter are compared",
        {f"{step}.enabled": True for step in _STEPS},
        detectors=_COMPARED,
        levels=["filter"],
        exposures_min=2,
    ),
    # a single exposure keeps its flagged pixels: there is nothing to put in their place
    _rule("WFC", _flags(80, 336, _ALL), detectors=["WFC"]),
    *_several("WFC", 336, 80),
    _rule("HRC", _flags(64, 64, _ALL), detectors=["HRC"]),
    *_several("HRC", 64, 80),
    _rule("UVIS", _flags(80, 336, _ALL), detectors=["UVIS"]),
    *_several("UVIS", 336, 80),
    _rule(
        "UVIS before 2012-11-08",
        {"sky.bits": 96, "separate.bits": 352},
        detectors=["UVIS"],
        mjd_before=UVIS_CHANGE_MJD,
    ),
    _rule(
        "UVIS before 2012-11-08, several",
        {"final.bits": 352},
        detectors=["UVIS"],
        levels=["filter", "total"],
        exposures_min=2,
        mjd_before=UVIS_CHANGE_MJD,
    ),
    _rule(
        "CCD, six or more",
        {"median.type": "median", "cosmic_rays.scale": [1.2, 0.7]},
        detectors=[*_CCD, "SBC"],
        exposures_min=6,
    ),
    _rule(
        "CCD, six or more of a filter",
        {"final.pixfrac": 0.8},
        detectors=_CCD,
        levels=["filter"],
        exposures_min=6,
    ),
    _rule(
        "IR",
        {
            **_flags(16, _ALL, 528),  # every pixel of few: the ramp fit has found the cosmic rays already
            "separate.kernel": "turbo",
            "cosmic_rays.snr": [5.0, 4.0],
            "cosmic_rays.scale": [3.0, 2.4],
        },
        detectors=["IR"],
    ),
    _rule(
        "IR, four or more",
        {"separate.bits": 528, "median.type": "median"},
        detectors=["IR"],
        exposures_min=4,
    ),
    _rule(
        "SBC",
        {**_flags(0, 0, 0), "sky.enabled": False, "sky.statistic": "mean", "separate.kernel": "turbo"},
        detectors=["SBC"],
    ),
    _rule("SBC, one exposure", {"final.bits": _ALL}, detectors=["SBC"], levels=["exposure"]),
    # SBC sees the glow of the sky in its bluest filters
    _rule("SBC in the blue", {"sky.enabled": True}, detectors=["SBC"], filters=_SBC_BLUE),
    _rule(
        "SBC in the blue, six or more",
        {"final.pixfrac": 0.8},
        detectors=["SBC"],
        filters=_SBC_BLUE,
        levels=["filter", "layer"],
        exposures_min=6,
    ),
    _rule(
        "WFPC2",
        {
            **_flags(1024, 1024, 65533),
            "separate.scale": 0.0996,
            "cosmic_rays.snr": [5.5, 3.5],
            "cosmic_rays.scale": [2.0, 1.5],
        },
        detectors=["PC"],
    ),
    *_several("PC", 61437, "2,8,1024"),
    _rule(
        "PC, three or more",
        {"final.bits": 1024},
        detectors=["PC"],
        levels=["filter", "total"],
        exposures_min=3,
    ),
    _rule("PC, four or more", {"median.type": "median"}, detectors=["PC"], exposures_min=4),
    _rule("grisms are not compared", {f"{step}.enabled": False for step in _STEPS}, kinds=["grism"]),
]


@lru_cache(maxsize=1)
def hap_rules() -> ProductRules:
    """Return the rules of HAP, which hold until a user's are put in force."""
    return rules_from_content(_CONTENT)


def drizzle_defaults(
    detector: str, start_mjd: float, level: Level, exposures: int, filter_name: str = ""
) -> DrizzleParameters:
    """Return how a product is drizzled by the rules of HAP; see `ProductCase`.

    Raises
    ------
    UsageProblemError
        There are no parameters for the detector.
    """
    return hap_rules().chosen(ProductCase(detector, level, exposures, start_mjd, filter_name)).drizzle
