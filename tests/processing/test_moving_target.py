"""Moving targets: the target falls together, dithers stay, and the headers decide how."""

from dataclasses import replace
from pathlib import Path

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.wcs import WCS
from hapctl.processing.astrometry.mapping import pixel_to_sky, sky_to_pixel
from hapctl.processing.astrometry.solution import ChipWcs, WcsSolution
from hapctl.processing.errors import RefusedError, UsageProblemError
from hapctl.processing.imaging.moving_target import (
    TargetPosition,
    align_on_target,
    is_moving,
    target_position,
)
from hapctl.processing.simulation.distortion import linear_wcs
from hapctl.processing.simulation.plan import VisitPlan
from hapctl.processing.simulation.pointing import Pointing, repointed
from hapctl.processing.simulation.visit import simulate_visit
from hypothesis import given, settings
from hypothesis import strategies as st
from support.commands import run_here
from support.data import data_file
from support.synthetic_chips import plain_chip

SHAPE = (200, 300)


def solution(chip: ChipWcs) -> WcsSolution:
    return WcsSolution("jtest0a0q", "IDC_x", (chip,))


def position(number: int, target: tuple[float, float] | None) -> TargetPosition:
    return TargetPosition(f"jtest0a{number}q", target, None)


@settings(max_examples=40, deadline=None)
@given(
    ra=st.floats(0, 360),
    dec=st.floats(-88, 88),
    motion=st.tuples(st.floats(-0.1, 0.1), st.floats(-0.1, 0.1)),
    dither=st.tuples(st.floats(-40, 40), st.floats(-40, 40)),
)
def test_the_target_falls_on_one_place_and_the_dither_stays(
    ra: float, dec: float, motion: tuple[float, float], dither: tuple[float, float]
) -> None:
    here = SkyCoord(ra, dec, unit="deg")
    there = here.spherical_offsets_by(motion[0] * u.deg, motion[1] * u.deg)
    first = plain_chip(SHAPE, crval=(here.ra.deg, here.dec.deg), angle_deg=25.0)
    second = replace(
        plain_chip(SHAPE, crval=(there.ra.deg, there.dec.deg), angle_deg=25.0),
        crpix=(first.crpix[0] + dither[0], first.crpix[1] + dither[1]),
    )
    places = [position(n, (place.ra.deg, place.dec.deg)) for n, place in enumerate((here, there))]
    done = align_on_target([solution(first), solution(second)], places)
    assert done.source == "target"
    moved = done.solutions[1].chips[0]
    assert done.solutions[0].chips[0] is first
    # A feature of the target is seen at the pixel shifted by the dither, and at one output place.
    pixel = np.array([120.0]), np.array([77.0])
    expected = pixel_to_sky(first, *pixel)
    found = pixel_to_sky(moved, pixel[0] + dither[0], pixel[1] + dither[1])
    apart = SkyCoord(*expected, unit="deg").separation(SkyCoord(*found, unit="deg"))
    assert apart.arcsec.max() < 1e-6
    shift = np.hypot(*done.shifts_arcsec[1])
    assert shift == pytest.approx(here.separation(there).arcsec, rel=1e-5, abs=1e-9)


def test_shifts_are_east_and_north() -> None:
    chip = plain_chip(SHAPE, crval=(100.0, 60.0))
    places = [
        position(0, (100.0, 60.0)),
        position(1, (100.0 + 10 / 1800, 60.0)),
        position(2, (100.0, 60.001)),
    ]
    done = align_on_target([solution(chip)] * 3, places)
    assert np.array(done.shifts_arcsec) == pytest.approx(np.array([(0, 0), (-10, 0), (0, -3.6)]), abs=1e-3)
    there = pixel_to_sky(
        done.solutions[1].chips[0], *sky_to_pixel(chip, *np.array([[100.0 + 10 / 1800], [60.0]]))
    )
    assert np.ravel(there) == pytest.approx((100.0, 60.0), abs=1e-9)


def test_real_headers_say_the_same_in_both_ways() -> None:
    """Real dithers of 6 to 20 arcsec: RA_TARG against the aperture and POSTARG."""
    names = ["hrc_47tuc/j8bt05njq_flt.fits", "hrc_47tuc/j8bt06o6q_flt.fits", "hrc_47tuc/j8bt09jcq_flt.fits"]
    names += [f"wfc3ir_goodss/ib6o21{part}_flt.fits.gz" for part in ("qnq", "qqq", "r7q")]
    for name in names:
        with fits.open(data_file(name)) as hdus:
            found = target_position(hdus[0].header, hdus["SCI", 1].header, name)
            assert not is_moving(hdus[0].header)
        assert found.target is not None
        assert found.aperture is not None
        apart = SkyCoord(*found.target, unit="deg").separation(SkyCoord(*found.aperture, unit="deg")).arcsec
        assert apart < 0.07
        assert abs(hdus[0].header["POSTARG1"]) > 1


def test_a_target_that_did_not_follow_is_found_by_the_aperture() -> None:
    chip = plain_chip(SHAPE, crval=(100.0, 10.0))
    stuck = [TargetPosition(f"jtest0a{n}q", (100.0, 10.0), (100.0, 10.0 + n / 100)) for n in range(3)]
    done = align_on_target([solution(chip)] * 3, stuck)
    assert done.source == "aperture"
    assert [north for _, north in done.shifts_arcsec] == pytest.approx([0.0, -36.0, -72.0], abs=1e-4)


def test_few_exposures_and_missing_keywords() -> None:
    chip = solution(plain_chip(SHAPE))
    assert align_on_target([], []).solutions == ()
    assert align_on_target([chip], [position(0, None)]).solutions == (chip,)
    with pytest.raises(RefusedError, match="jtest0a1q: no usable RA_TARG"):
        align_on_target([chip, chip], [position(0, (1.0, 1.0)), position(1, None)])
    with pytest.raises(UsageProblemError):
        align_on_target([chip], [])


@pytest.mark.parametrize(
    ("flag", "moving"), [("T", True), (True, True), ("t ", True), ("", False), (False, False), (None, False)]
)
def test_the_flag(flag: object, moving: bool) -> None:
    assert is_moving(fits.Header() if flag is None else fits.Header({"MTFLAG": flag})) is moving


def test_damaged_keywords_are_no_position() -> None:
    primary = fits.Header({"RA_TARG": "N/A", "DEC_TARG": 10.0, "POSTARG1": 0.0, "POSTARG2": 0.0})
    science = fits.Header({"RA_APER": 10.0, "DEC_APER": 95.0, "PA_APER": 1.0})
    assert target_position(primary, science, "x") == TargetPosition("x", None, None)


def follow(path: Path, east_arcsec: float, north_arcsec: float) -> None:
    """Let the telescope have followed its target: the same pixels, taken elsewhere on the sky."""
    with fits.open(path, mode="update") as hdus:
        primary = hdus[0].header
        here = Pointing(primary["RA_TARG"], primary["DEC_TARG"], primary["PA_V3"])
        cosine = np.cos(np.radians(here.dec))
        there = replace(here, ra=here.ra + east_arcsec / 3600 / cosine, dec=here.dec + north_arcsec / 3600)
        primary.update({"MTFLAG": "T", "RA_TARG": there.ra, "DEC_TARG": there.dec})
        for hdu in hdus:
            if hdu.name == "SCI":
                linear = repointed(linear_wcs(hdu.header), here, there)
                hdu.header["CRVAL1"], hdu.header["CRVAL2"] = linear.crval
                for i, j in np.ndindex(2, 2):
                    hdu.header[f"CD{i + 1}_{j + 1}"] = float(linear.cd[i, j])
                for key, value in zip(("RA_APER", "DEC_APER"), linear.crval, strict=True):
                    hdu.header[key] = value  # not where POSTARG says: only the target's own position will do
                del hdu.header["PA_APER"]


def test_a_product_of_a_target_that_moved_is_the_one_it_would_be_had_it_not(tmp_path: Path) -> None:
    """Two exposures with a dither of 2.7 arcsec; between them the target moves by 50 arcsec."""
    plan = VisitPlan(visit="ihap01", detector="UVIS", filters=("F606W",), exposures=2, chip_shape=(160, 320))
    plan = replace(plan, stars=60, galaxies=2, pointing_error=0.0, roll_error=0.0, scale_error=0.0)
    options = ("--set", "static_mask.enabled=false", "--set", "final.variance=false", "--no-preview")
    images = []
    for name in ("still", "moving"):
        made = simulate_visit(tmp_path / name, plan)
        if name == "moving":
            follow(made.files[0], 0.0, 0.0)
            follow(made.files[1], 40.0, -30.0)
        done = run_here(("drizzle", *made.files, "-o", tmp_path / name / "product", *options))
        assert done.exit_code == 0, done.stderr
        assert ("aligned on the moving target by its target positions" in done.stderr) is (name == "moving")
        with fits.open(tmp_path / name / "product.fits") as hdus:
            images.append((hdus["SCI"].data, hdus["WHT"].data, WCS(hdus["SCI"].header).wcs.crval))
    still, moving = images
    assert still[2] == pytest.approx(moving[2], abs=1e-9)
    assert moving[1] == pytest.approx(still[1], rel=1e-4, abs=1e-3)
    seen = still[1] > 0
    assert np.array_equal(seen, moving[1] > 0)
    assert moving[0][seen] == pytest.approx(still[0][seen], rel=1e-4, abs=1e-4)
