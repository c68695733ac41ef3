"""Output grids from parameters and references, against stwcs and astropy."""

import math
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS
from hapctl.processing.astrometry.headerlet import headerlet_bytes
from hapctl.processing.astrometry.reading import read_solutions
from hapctl.processing.astrometry.solution import WcsSolution
from hapctl.processing.errors import MissingFileError, UnusableFileError, UsageProblemError
from hapctl.processing.imaging.grid import OutputGrid, chip_edges, map_to_grid, north_up_grid
from hapctl.processing.imaging.grid_choice import final_grid, reference_grid
from hapctl.processing.imaging.parameters import FinalParameters
from hypothesis import given, settings
from hypothesis import strategies as st
from support.data import data_file
from support.synthetic_chips import distorted_chip, plain_chip

CHIPS = [distorted_chip(angle_deg=33.0), distorted_chip(crval=(150.004, 2.003), angle_deg=35.0)]


def grid_of(**parameters: Any) -> OutputGrid:
    return final_grid(CHIPS, FinalParameters(**parameters))


def covers(grid: OutputGrid) -> bool:
    ny, nx = grid.shape
    for chip in CHIPS:
        x, y = map_to_grid(chip, grid, *chip_edges(chip))
        if x.min() < -0.5 or x.max() > nx - 0.5 or y.min() < -0.5 or y.max() > ny - 0.5:
            return False
    return True


def test_without_parameters_it_is_north_up_and_pixel_aligned() -> None:
    assert grid_of() == north_up_grid(CHIPS)
    assert grid_of(rotation=0.0) == north_up_grid(CHIPS)
    assert grid_of(scale=0.1) == north_up_grid(CHIPS, 0.1)


@settings(max_examples=25, deadline=None)
@given(st.floats(-720, 720), st.floats(0.02, 0.2))
def test_a_rotation_is_the_position_angle_of_the_y_axis(rotation: float, scale: float) -> None:
    grid = grid_of(rotation=rotation, scale=scale)
    y_axis = math.degrees(math.atan2(grid.cd[1], grid.cd[3]))
    assert math.cos(math.radians(y_axis - rotation)) == pytest.approx(1.0)
    assert grid.scale_arcsec == pytest.approx(scale)
    assert all(pixel == int(pixel) for pixel in grid.crpix)
    assert covers(grid)
    ra, dec = grid.pixel_to_sky([grid.crpix[0] - 1, grid.crpix[0] - 1], [grid.crpix[1] - 1, grid.crpix[1]])
    to_north, to_east = dec[1] - dec[0], (ra[1] - ra[0]) * math.cos(math.radians(dec[0]))
    assert math.cos(math.atan2(to_east, to_north) - math.radians(rotation)) == pytest.approx(1.0, abs=1e-7)


@settings(max_examples=25, deadline=None)
@given(st.floats(149.99, 150.01), st.floats(1.99, 2.01), st.sampled_from([None, 0.0, 30.0, -120.0]))
def test_a_centre_is_the_tangent_point_in_the_middle(ra: float, dec: float, rotation: float | None) -> None:
    grid = grid_of(ra=ra, dec=dec, rotation=rotation)
    assert grid.crval == (ra, dec)
    ny, nx = grid.shape
    assert grid.crpix == ((nx + 1) / 2, (ny + 1) / 2)
    assert covers(grid)


def test_grids_of_one_centre_share_their_pixels() -> None:
    place: dict[str, Any] = {"ra": 150.0, "dec": 2.0, "scale": 0.04, "rotation": 20.0}
    one = grid_of(**place)
    other = final_grid([plain_chip(crval=(150.001, 2.001))], FinalParameters(**place, shape=(301, 200)))
    x, y = other.sky_to_pixel(*one.pixel_to_sky(7, 11))
    assert abs(float(x) - round(float(x))) < 1e-6
    assert abs(float(y) - round(float(y))) < 1e-6


@pytest.mark.parametrize(
    ("shape", "crpix", "expected"),
    [
        ((300, 201), None, (151, 101)),
        ((301, 200), None, (151, 101)),
        ((300, 200), (10.25, -3.5), (10.25, -3.5)),
    ],
)
def test_a_shape_is_taken_as_it_is(
    shape: tuple[int, int], crpix: tuple[float, float] | None, expected: tuple[float, float]
) -> None:
    grid = grid_of(shape=shape, crpix=crpix)
    assert grid.shape == shape[::-1]
    assert grid.crpix == expected
    assert grid.crval == pytest.approx(north_up_grid(CHIPS).crval, abs=1e-5)


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"ra": 150.0}, "final.ra without final.dec"),
        ({"dec": 2.0}, "final.dec without final.ra"),
        ({"crpix": (1.0, 1.0)}, "final.crpix without final.shape"),
        ({"reference": "x.fits", "scale": 0.1}, "final.reference with final.scale"),
        ({"reference": "x.fits", "ra": 1.0, "dec": 1.0}, "final.reference with final.ra"),
    ],
)
def test_half_pairs_and_contradictions_are_refused(parameters: dict[str, Any], words: str) -> None:
    with pytest.raises(UsageProblemError, match=words):
        grid_of(**parameters)


def test_a_centre_far_away_is_refused() -> None:
    with pytest.raises(UsageProblemError, match=r"final.ra and final.dec lie 60 degrees or more"):
        grid_of(ra=330.0, dec=-2.0)


def write_reference(path: Path, grid: OutputGrid, **cards: Any) -> Path:
    header = grid.header()
    for name, value in cards.items():
        if value is None:
            header.remove(name)
        else:
            header[name] = value
    image = fits.ImageHDU(np.zeros(grid.shape, dtype=np.float32), header, name="SCI")
    fits.HDUList([fits.PrimaryHDU(), image, fits.ImageHDU(name="WHT")]).writeto(path, overwrite=True)
    return path


ODD = OutputGrid((150.0123456789, 2.0), (100.123, -55.77), (-1.1e-5, 2e-7, 3e-7, 1.2e-5), (77, 91))


@pytest.mark.parametrize("extension", ["", "[1]", "[SCI]", "[sci,1]", "[SCI, 1]"])
def test_a_reference_is_taken_exactly(tmp_path: Path, extension: str) -> None:
    path = write_reference(tmp_path / "old_drz.fits", ODD)
    assert grid_of(reference=f"{path}{extension}") == ODD


@given(
    rotation=st.none() | st.floats(-180.0, 180.0),
    scale=st.floats(0.005, 0.5),
    centre=st.none() | st.tuples(st.floats(150.0, 151.0), st.floats(-2.0, 2.5)),
)
@settings(max_examples=50, deadline=None)
def test_a_grid_made_here_is_the_same_as_a_reference(
    rotation: float | None, scale: float, centre: tuple[float, float] | None
) -> None:
    ra, dec = centre or (None, None)
    for grid in (
        grid_of(rotation=rotation, scale=scale, ra=ra, dec=dec),
        grid_of(rotation=rotation, scale=scale, shape=(3000, 2000)),
    ):
        stored = fits.Header.fromstring(grid.header().tostring())
        assert tuple(stored[name] for name in ("CD1_1", "CD1_2", "CD2_1", "CD2_2")) == grid.cd
        assert (stored["CRVAL1"], stored["CRVAL2"]) == grid.crval
        assert grid.scale_arcsec == pytest.approx(scale, rel=1e-12)


def test_a_reference_by_pc_and_cdelt_is_what_astropy_makes_of_it(tmp_path: Path) -> None:
    header = ODD.header()
    for name in ("CD1_1", "CD1_2", "CD2_1", "CD2_2"):
        del header[name]
    header["CDELT1"], header["CDELT2"], header["CROTA2"] = -1.2e-5, 1.2e-5, 30.0
    path = tmp_path / "old.fits"
    fits.PrimaryHDU(np.zeros(ODD.shape, dtype=np.float32), header).writeto(path)
    grid = reference_grid(str(path))
    ra, dec = grid.pixel_to_sky([0.0, 90.0], [0.0, 40.0])
    assert np.allclose(WCS(header).pixel_to_world_values([0.0, 90.0], [0.0, 40.0]), (ra, dec), atol=1e-11)


def test_a_headerlet_or_a_wcs_extension_with_a_size_is_a_reference(tmp_path: Path) -> None:
    chip = plain_chip((300, 400))
    path = tmp_path / "made_hlet.fits"
    path.write_bytes(headerlet_bytes(WcsSolution("jaaa01a0q", "NORTH", (chip,))))
    assert reference_grid(str(path)) == OutputGrid(chip.crval, chip.crpix, chip.cd, (300, 400))
    header = ODD.header()
    del header["NAXIS*"]
    header["NPIX1"], header["NPIX2"] = 91, 77
    fits.HDUList([fits.PrimaryHDU(), fits.ImageHDU(header=header, name="WCS")]).writeto(tmp_path / "w.fits")
    assert reference_grid(str(tmp_path / "w.fits")) == ODD


def test_a_reference_with_distortion_or_without_size_or_wcs_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "r.fits"
    for cards, words in (
        ({"CTYPE1": "RA---TAN-SIP", "CTYPE2": "DEC--TAN-SIP"}, "has distortion"),
        ({"A_ORDER": 4}, "has distortion .A_ORDER"),
        ({"CPDIS1": "LOOKUP"}, "has distortion .CPDIS1"),
        ({"CTYPE1": "RA---ARC", "CTYPE2": "DEC--ARC"}, "no TAN image"),
        ({"CTYPE1": "DEC--TAN", "CTYPE2": "RA---TAN"}, "has no WCS"),
        ({"LONPOLE": 90.0}, "no TAN image"),
        ({"CD1_1": 0.0, "CD1_2": 0.0}, "no usable numbers"),
    ):
        write_reference(path, ODD, **cards)
        with pytest.raises(UnusableFileError, match=words):
            reference_grid(str(path))
    with pytest.raises(UnusableFileError, match="has no WCS"):
        reference_grid(f"{path}[WHT]")
    chip = plain_chip((300, 400))
    path.write_bytes(
        headerlet_bytes(WcsSolution("jaaa01a0q", "NORTH", (chip,))).replace(b"TG_NAX", b"TG_ZZZ")
    )
    with pytest.raises(UnusableFileError, match="has no size"):
        reference_grid(str(path))


def test_a_reference_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match=r"none[.]fits is not there"):
        reference_grid(str(tmp_path / "none.fits"))
    path = write_reference(tmp_path / "r.fits", ODD)
    for extension in ("7", "ERR", "SCI,2"):
        with pytest.raises(MissingFileError, match=f"no extension {extension}"):
            reference_grid(f"{path}[{extension}]")
    path.write_text("no FITS")
    with pytest.raises(UnusableFileError, match="can't be read"):
        reference_grid(str(path))


def test_a_real_exposure_is_no_reference_and_its_grid_is_that_of_stwcs() -> None:
    paths = [data_file(f"hrc_47tuc/j8bt06{name}_flt.fits") for name in ("nyq", "o6q")]
    with pytest.raises(UnusableFileError, match="has distortion"):
        reference_grid(f"{paths[0]}[1]")
    chips = [chip for path in paths for chip in read_solutions(path)[0].solution.chips]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from stwcs.distortion.utils import output_wcs
        from stwcs.wcsutil import HSTWCS

        theirs = output_wcs([HSTWCS(str(path), ext=1) for path in paths])
    angle = math.degrees(math.atan2(theirs.wcs.cd[0, 1], theirs.wcs.cd[1, 1]))
    ours = final_grid(chips, FinalParameters(rotation=angle))
    assert ours.scale_arcsec == pytest.approx(theirs.pscale, rel=1e-5)
    nx, ny = theirs.pixel_shape
    assert abs(ours.shape[1] - nx) <= 4  # theirs covers the centres of the pixels, ours their edges
    assert abs(ours.shape[0] - ny) <= 4
    x, y = ours.sky_to_pixel(*theirs.all_pix2world([(0, nx - 1)], [(0, ny - 1)], 0))
    offset = np.array([x[0, 0], y[0, 0]])
    assert np.abs(offset).max() < 3.0  # theirs has a fractional CRPIX
    assert np.array([x[0, 1], y[0, 1]]) - offset == pytest.approx([nx - 1, ny - 1], abs=0.05)
