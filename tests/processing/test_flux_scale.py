"""Chips on one flux scale: done by the pipeline, done here, or not possible; never twice, never mixed."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from hapctl.processing.errors import RefusedError
from hapctl.processing.imaging.flux_scale import FluxScale, check_one_scale, flux_factors, flux_scale
from hapctl.processing.simulation.plan import VisitPlan
from hapctl.processing.simulation.visit import simulate_visit
from support.commands import run_here
from support.data import data_file

Cards = dict[str, object]
UVIS: Cards = {"INSTRUME": "WFC3", "DETECTOR": "UVIS"}


def headers(*chips: Cards) -> list[fits.Header]:
    return [fits.Header(cards) for cards in chips]


def uvis(flux_corrected: str | None, *chips: Cards) -> FluxScale:
    return flux_scale(
        fits.Header({**UVIS, **({"FLUXCORR": flux_corrected} if flux_corrected else {})}), headers(*chips)
    )


CHIP2: Cards = {"CCDCHIP": 2, "PHOTFLAM": 2.02e-19, "PHOTMODE": "UVIS2"}
CHIP1: Cards = {"CCDCHIP": 1, "PHOTFLAM": 2.00e-19, "PHOTMODE": "UVIS1"}


def test_a_file_that_is_equalised_is_left_alone() -> None:
    with fits.open(data_file("headers/sample_svm_flc.fits")) as hdus:
        scale = flux_scale(hdus[0].header, [hdus["SCI", v].header for v in (1, 2)])
        assert scale.factors == (1.0, 1.0)
        assert scale.equalised == "in the file"
        assert scale.photometry["PHOTFLAM"] == hdus["SCI", 2].header["PHTFLAM1"]
        assert str(scale.photometry["PHOTMODE"]).startswith("WFC3 UVIS1")


def test_the_factor_here_is_the_one_of_the_pipeline() -> None:
    """The file's PHTRATIO, as calwf3 computed it, against what the fluxes of both chips give."""
    with fits.open(data_file("headers/sample_svm_flc.fits")) as hdus:
        science = [hdus["SCI", v].header.copy() for v in (1, 2)]
        primary = hdus[0].header.copy()
    primary["FLUXCORR"] = "OMIT"
    assert flux_factors(primary, science) == (pytest.approx(1.010510439272, abs=1e-12), 1.0)
    science[0]["PHOTFLAM"] = science[0]["PHTFLAM2"]
    del science[0]["PHTRATIO"]
    assert flux_factors(primary, science) == (pytest.approx(1.010510439272, abs=1e-7), 1.0)
    assert flux_factors(primary, science[:1]) == (pytest.approx(1.010510439272, abs=1e-7),)
    assert flux_scale(primary, science[:1]).photometry["PHOTFLAM"] == pytest.approx(science[0]["PHTFLAM1"])


def test_an_old_file_is_equalised_here() -> None:
    with fits.open(data_file("headers/2chipC_old.fits.gz")) as hdus:
        scale = flux_scale(hdus[0].header, [hdus["SCI", v].header for v in (1, 2)])
    assert (scale.equalised, scale.factors[1]) == ("here", 1.0)
    assert scale.factors[0] == pytest.approx(1.1598989 / 1.164977)
    assert scale.photometry["PHOTFLAM"] == 1.164977e-19


def test_equal_light_gives_equal_electrons_and_the_zero_point_is_right() -> None:
    light = 1e-15
    scale = uvis("OMIT", CHIP2, CHIP1)
    rates = [light / 2.02e-19, light / 2.00e-19]
    equalised = np.array(rates) * scale.factors
    assert equalised[0] == pytest.approx(equalised[1], rel=1e-12)
    assert equalised[0] * float(scale.photometry["PHOTFLAM"]) == pytest.approx(light, rel=1e-12)


@pytest.mark.parametrize(
    ("corrected", "chips", "factors", "equalised"),
    [
        (None, (CHIP1,), (1.0,), "not needed"),
        ("PERFORM", (CHIP2, CHIP1), (1.01, 1.0), "here"),
        ("COMPLETE", (CHIP2,), (1.0,), "in the file"),
        (None, (CHIP2,), (1.0,), "unknown"),
        (None, ({**CHIP2, "PHTRATIO": 1.03},), (1.03,), "here"),
        (None, ({**CHIP2, "PHTRATIO": 0.0, "PHTFLAM1": 1.98e-19},), (202 / 198,), "here"),
        (None, ({**CHIP2, "PHOTFLAM": 0.0}, CHIP1), (1.0, 1.0), "unknown"),
        (None, (CHIP2, {"CCDCHIP": 1}), (1.0, 1.0), "unknown"),
    ],
)
def test_uvis_in_all_cases(
    corrected: str | None, chips: tuple[Cards, ...], factors: tuple[float, ...], equalised: str
) -> None:
    scale = uvis(corrected, *chips)
    assert scale.factors == pytest.approx(factors)
    assert scale.equalised == equalised


def test_sets_on_two_scales_are_refused_and_others_are_not() -> None:
    known, done, unknown = uvis(None, CHIP2, CHIP1), uvis("COMPLETE", CHIP2, CHIP1), uvis(None, CHIP2)
    check_one_scale({"a": known, "b": done})
    check_one_scale({"a": unknown, "b": unknown})
    with pytest.raises(RefusedError, match="b: its chips"):
        check_one_scale({"a": known, "b": unknown})


def test_wfpc2_comes_to_its_third_chip_in_electrons() -> None:
    primary = fits.Header({"INSTRUME": "WFPC2", "ATODGAIN": 7.0})
    chips = headers(*({"DETECTOR": n, "PHOTFLAM": f} for n, f in ((1, 3.5e-18), (2, 3.4e-18), (3, 3.45e-18))))
    scale = flux_scale(primary, chips)
    assert scale.factors == pytest.approx((3.5 / 7.12 * 6.9 / 3.45, 3.4 / 7.12 * 6.9 / 3.45, 1.0))
    assert scale.photometry["PHOTFLAM"] == pytest.approx(3.45e-18 / 6.9)
    assert flux_scale(primary, chips[:2]).equalised == "unknown"


def test_other_detectors_have_one_scale() -> None:
    primary = fits.Header({"INSTRUME": "WFC3", "DETECTOR": "IR", "PHOTFLAM": 1.5e-20})
    assert flux_scale(primary, headers({})) == FluxScale((1.0,), "not needed", {"PHOTFLAM": 1.5e-20})
    stis = fits.Header({"INSTRUME": "STIS", "DETECTOR": "CCD", "ATODGAIN": 4.0, "PHOTFLAM": 4e-19})
    assert flux_scale(stis, headers({}, {})).photometry == {"PHOTFLAM": 1e-19}


def test_a_mixed_set_drizzles_to_what_an_equalised_one_gives(tmp_path: Path) -> None:
    """One file as calwf3 scales it and one that it left alone: the same product, the same zero point."""
    plan = VisitPlan(visit="ihap01", detector="UVIS", filters=("F555W",), exposures=2, chip_shape=(128, 200))
    plan = replace(plan, stars=40, galaxies=0)
    done = simulate_visit(tmp_path / "done", plan).files
    left = simulate_visit(tmp_path / "left", replace(plan, flux_corrected=False)).files
    steps = ("static_mask", "sky", "separate", "median", "blot", "cosmic_rays")
    options = [part for step in steps for part in ("--set", f"{step}.enabled=false")]
    products = []
    for name, files in (("equal", done), ("mixed", (done[0], left[1]))):
        out = tmp_path / name
        run = run_here(
            ("drizzle", *files, "-o", out, *options, "--set", "final.variance=false", "--no-preview")
        )
        assert run.exit_code == 0, run.stderr
        assert ("chips brought to one flux scale" in run.stderr) is (name == "mixed")
        with fits.open(out.with_suffix(".fits")) as hdus:
            products.append((hdus["SCI"].data, hdus["WHT"].data, hdus["SCI"].header["PHOTFLAM"]))
    equal, mixed = products
    assert mixed[2] == pytest.approx(equal[2], rel=1e-12)
    assert np.array_equal(mixed[1], equal[1])
    seen = equal[1] > 0
    assert mixed[0][seen] == pytest.approx(equal[0][seen], rel=1e-5, abs=1e-5)
