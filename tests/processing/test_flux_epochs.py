"""Exposures of different PHOTFLAM on one scale: each pixel has the right flux, whichever exposures saw it."""

import math
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from hapctl.processing.errors import RefusedError
from hapctl.processing.imaging.flux_epochs import FluxMember, check_epochs, on_one_scale
from hapctl.processing.imaging.flux_scale import FluxScale
from hypothesis import given
from hypothesis import strategies as st
from support.commands import Runner
from support.mosaics import small_visit

GROUP = ("ACS", "WFC", "f606w")


def member(
    name: str, flux: float | None, seconds: float = 100.0, group: tuple[str, ...] = GROUP
) -> FluxMember:
    photometry = {} if flux is None else {"PHOTFLAM": flux, "PHOTMODE": f"ACS WFC1 F606W {name}"}
    return FluxMember(name, group, seconds, FluxScale((1.0, 1.01), "here", photometry))


@given(st.lists(st.tuples(st.floats(7.8e-20, 8.2e-20), st.floats(1.0, 2000.0)), min_size=1, max_size=6))
def test_every_pixel_has_the_same_flux_whichever_exposures_saw_it(
    exposures: list[tuple[float, float]],
) -> None:
    members = [member(str(number), *one) for number, one in enumerate(exposures)]
    scales = on_one_scale(members)
    light = 1e-16
    rates = np.array([light / flux for flux, _ in exposures]) * [scale.factors[0] for scale in scales]
    (zero_point,) = {scale.photometry["PHOTFLAM"] for scale in scales}
    np.testing.assert_allclose(rates * zero_point, light, rtol=1e-12)
    mean = np.average([flux for flux, _ in exposures], weights=[seconds for _, seconds in exposures])
    assert zero_point == pytest.approx(mean, rel=1e-12)
    assert [scale.factors[1] / scale.factors[0] for scale in scales] == pytest.approx([1.01] * len(scales))


def test_equal_exposures_keep_their_very_bits() -> None:
    members = [member("a", 8.0e-20, 10.0), member("b", 8.0e-20, 30.0)]
    assert on_one_scale(members) == [one.scale for one in members]


def test_filters_have_a_scale_each() -> None:
    blue = [member("a", 8.0e-20), member("b", 8.2e-20)]
    red = [member("c", 2.0e-20, group=("ACS", "WFC", "f814w"))]
    scales = on_one_scale([*blue, *red])
    assert scales[2] == red[0].scale
    assert scales[0].photometry["PHOTFLAM"] == pytest.approx(8.1e-20)
    assert scales[0].photometry["PHOTMODE"] == "ACS WFC1 F606W a"
    check_epochs([*blue, *red])


@pytest.mark.parametrize("other", [None, 0.0, math.nan, 8.0e-20])
def test_exposures_of_which_one_has_no_photometry_are_left_alone(other: float | None) -> None:
    members = [member("a", None), member("b", other), member("c", other)]
    check_epochs(members)
    assert on_one_scale(members) == [one.scale for one in members]


def test_what_can_not_be_one_scale_is_refused() -> None:
    members = [member("a", 8.0e-20), member("b", 3.2e-19)]
    with pytest.raises(RefusedError, match="b: its PHOTFLAM is 4 times"):
        check_epochs(members)
    assert on_one_scale(members) == [one.scale for one in members]


FILTER = "hst_90001_01_acs_wfc_f606w_jhap01_drc.fits"


def less_sensitive(file: Path, by: float | None) -> None:
    """Make an exposure what a less sensitive detector would have seen; None: take its PHOTFLAM away."""
    with fits.open(file, mode="update") as hdus:
        hdus[0].header["DATE"] = "2099-01-01T00:00:00"  # else the older content stays in force
        for hdu in hdus:
            if by is None:
                hdu.header.remove("PHOTFLAM", ignore_missing=True)
            elif "PHOTFLAM" in hdu.header:
                hdu.header["PHOTFLAM"] *= by
            if by is not None and hdu.name in ("SCI", "ERR"):
                hdu.data /= np.float32(by)


def product_of(run: Runner, files: list[Path], folder: Path) -> tuple[np.ndarray, np.ndarray, float]:
    for command in (("ingest", *files), ("mosaic", "--visit", "jhap01", "--output", folder)):
        done = run(*command)
        assert done.exit_code == 0, done.stderr
    with fits.open(folder / FILTER) as hdus:
        return hdus["SCI"].data, hdus["WHT"].data, hdus["SCI"].header["PHOTFLAM"]


def test_a_product_of_two_epochs_has_one_flux_scale(run_hapctl: Runner, tmp_path: Path) -> None:
    """The same sky seen less well by the second exposure gives the same fluxes, where it is alone, too."""
    files = small_visit(tmp_path / "visit").files
    image, weight, zero_point = product_of(run_hapctl, files, tmp_path / "same")
    for file in files[1:]:
        less_sensitive(file, 1.04)
    changed, weight_again, zero_again = product_of(run_hapctl, files, tmp_path / "other")
    assert zero_again == pytest.approx(1.02 * zero_point, rel=1e-9)
    alike = (weight > 0) & (weight_again == weight)  # noise decides about the faintest cosmic rays
    assert alike.sum() > 0.999 * (weight > 0).sum()
    alone = alike & (weight < 0.75 * weight.max())
    assert alone.sum() > 1000
    for where in (alike, alone):
        np.testing.assert_allclose(
            changed[where] * zero_again / zero_point, image[where], rtol=1e-4, atol=2e-3
        )


def test_with_an_exposure_without_photometry_a_product_has_none(run_hapctl: Runner, tmp_path: Path) -> None:
    """It is combined in electrons: an uncalibrated exposure shows the sky all the same."""
    files = small_visit(tmp_path / "visit").files
    less_sensitive(files[1], None)
    assert run_hapctl("ingest", *files).exit_code == 0
    made = run_hapctl("mosaic", "--visit", "jhap01", "--output", tmp_path)
    assert made.exit_code == 0, made.stderr
    with fits.open(tmp_path / FILTER) as hdus:
        assert "PHOTFLAM" not in hdus["SCI"].header
