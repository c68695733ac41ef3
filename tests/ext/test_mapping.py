"""The exact mapping against astropy on real and made-up solutions, and its own promises."""

import gzip
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS
from hapctl.ext.mapping import ChipDistortion
from hapctl.processing.astrometry.mapping import (
    TanPlane,
    astropy_wcs,
    distortion,
    homography,
    pixel_to_plane,
    pixel_to_sky,
    sky_to_pixel,
)
from hapctl.processing.astrometry.reading import read_solutions
from hapctl.processing.astrometry.solution import ChipWcs, LookupOrigin
from hapctl.processing.errors import UnusableFileError, UsageProblemError
from hypothesis import given, settings
from hypothesis import strategies as st
from support.chips import astropy_as_read, embedded_headerlet, read_chips
from support.data import data_file
from support.synthetic_chips import distorted_chip, plain_chip, table

ORIGINS: list[LookupOrigin] = ["hst", "fits"]
REAL = [
    "headers/2chipB_old.fits.gz",  # ACS/WFC: SIP, NPOL, 1-D D2IM (AXISCORR)
    "headers/2chipC_old.fits.gz",  # WFC3/UVIS: SIP only
    "hrc_47tuc/j8bt06nyq_flt.fits",
    "wfc3ir_goodss/ib6o21qmq_flt.fits.gz",
]


def random_pixels(chip: ChipWcs, count: int = 4000) -> tuple[np.ndarray, np.ndarray]:
    """Pixels all over a chip and a little beyond, its corners and table nodes among them."""
    rng = np.random.default_rng(11)
    ny, nx = chip.shape
    x = np.concatenate([rng.uniform(-20, nx + 19, count), [-0.5, nx - 0.5, -0.5, nx - 0.5, 63.0, 64.0, 0.0]])
    y = np.concatenate([rng.uniform(-20, ny + 19, count), [-0.5, -0.5, ny - 0.5, ny - 0.5, 63.0, 64.0, 0.0]])
    return x, y


def output_plane(chip: ChipWcs) -> TanPlane:
    """A north-up plane near the chip, about another tangent point."""
    step = (chip.idcscale or 0.05) / 3600.0
    crval = (chip.crval[0] + 0.02, chip.crval[1] + 0.03)
    return TanPlane(crval, (3000.0, 3000.0), (-step, 0.0, 0.0, step))


def plane_wcs(plane: TanPlane) -> WCS:
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    wcs.wcs.crval, wcs.wcs.crpix, wcs.wcs.cd = plane.crval, plane.crpix, np.array(plane.cd).reshape(2, 2)
    return wcs


def assert_like_astropy(chip: ChipWcs, origin: LookupOrigin, theirs: WCS) -> None:
    """Chip to sky to the pixels of another plane, within 1e-6 pixel of astropy."""
    x, y = random_pixels(chip)
    plane = output_plane(chip)
    ours = distortion(chip, origin).project(homography(chip, plane), x, y)
    expected = plane_wcs(plane).wcs_world2pix(*theirs.all_pix2world(x, y, 0), 0)
    np.testing.assert_allclose(ours, expected, rtol=0, atol=1e-6)
    sky = plane_wcs(plane).wcs_world2pix(*pixel_to_sky(chip, x, y, origin), 0)
    np.testing.assert_allclose(sky, expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("origin", ORIGINS)
@pytest.mark.parametrize("name", REAL)
def test_real_solutions_agree_with_astropy(name: str, origin: LookupOrigin) -> None:
    with fits.open(data_file(name)) as hdus:
        for chip in read_chips(hdus):
            assert_like_astropy(chip, origin, astropy_wcs(chip, origin))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", REAL)
def test_files_as_astropy_reads_them_agree_under_the_fits_origin(name: str) -> None:
    path = data_file(name)
    with fits.open(path) as hdus:
        for chip in read_solutions(path)[0].solution.chips:
            assert_like_astropy(chip, "fits", astropy_as_read(hdus, chip.extver))


@pytest.mark.parametrize("origin", ORIGINS)
def test_uvis_headerlets_with_tables_for_both_axes_agree_with_astropy(origin: LookupOrigin) -> None:
    with embedded_headerlet(data_file("headers/sample_svm_flc.fits"), 10) as hdus:
        chips = read_chips(hdus, "SIPWCS", (2051, 4096))
    assert all(chip.npol[1] is not None and chip.d2im[1] is not None for chip in chips)
    for chip in chips:
        assert_like_astropy(chip, origin, astropy_wcs(chip, origin))


@pytest.fixture(scope="module")
def updated_wfc(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An ACS/WFC exposure with the complete modern solution that stwcs makes of real reference files."""
    reference = data_file("acs_wfc_reference/0461802ej_idc.fits").parent
    path = tmp_path_factory.mktemp("wfc") / "j94f05bgq_flt.fits"
    path.write_bytes(gzip.decompress((reference / "j94f05bgq_flt.fits.gz").read_bytes()))
    with fits.open(path, mode="update") as hdus:
        header = hdus[0].header
        header["IDCTAB"], header["NPOLFILE"] = "jref$0461802ej_idc.fits", "jref$02c14514j_npl.fits"
        header["D2IMFILE"] = "jref$02c1450oj_d2i.fits"
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        patch.setenv("jref", f"{reference}/")
        from stwcs import updatewcs

        updatewcs.updatewcs(str(path), use_db=False)
    return path


@pytest.mark.parametrize("origin", ORIGINS)
def test_a_complete_wfc_solution_made_by_stwcs_agrees_with_astropy(
    updated_wfc: Path, origin: LookupOrigin
) -> None:
    with fits.open(updated_wfc) as hdus:
        chips = read_chips(hdus)
        assert all(chip.npol[1] is not None and chip.d2im[1] is not None for chip in chips)
        for chip in chips:
            assert_like_astropy(chip, origin, astropy_wcs(chip, origin))
            if origin == "fits":
                assert_like_astropy(chip, origin, astropy_as_read(hdus, chip.extver))


def test_the_two_origins_read_a_table_one_node_apart() -> None:
    ramp = np.arange(20, dtype=np.float32)[None, :] * np.ones((15, 1), dtype=np.float32)
    slope = replace(table(0, (15, 20), 16.0), values=ramp)
    chip = replace(plain_chip((200, 300)), npol=(slope, None))
    # Node k of HST's table is the 1-based pixel 16 k + 1, that is 0-based 16 k.
    u_hst, _ = distortion(chip, "hst").distort([0.0, 16.0, 40.0, 304.0, 900.0], 10.0)
    u_fits, _ = distortion(chip, "fits").distort([15.0, 31.0, 55.0], 10.0)
    offset = chip.crpix[0] - 1.0
    assert u_hst + offset == pytest.approx([0.0, 17.0, 42.5, 323.0, 919.0], abs=1e-12)
    assert u_fits + offset == pytest.approx([15.0, 32.0, 57.5], abs=1e-12)


def test_both_distortions_are_evaluated_at_the_detector_corrected_pixel() -> None:
    chip = replace(
        plain_chip((200, 300)),
        sip_a=np.array([[0.0, 0.0], [0.1, 0.0]]),
        d2im=(replace(table(0, (2, 2), 16.0), values=np.full((2, 2), 2.0, dtype=np.float32)), None),
        npol=(replace(table(0, (2, 2), 100.0), values=np.array([[0, 1], [0, 1]], dtype=np.float32)), None),
    )
    u, v = distortion(chip).distort(48.0, 20.0)
    corrected = 50.0
    from_crpix = corrected - (chip.crpix[0] - 1.0)
    assert float(u) == pytest.approx(from_crpix * 1.1 + corrected / 100.0, abs=1e-12)
    assert float(v) == 20.0 - (chip.crpix[1] - 1.0)


def test_a_value_depends_on_its_pixel_alone() -> None:
    chip = distorted_chip()
    x, y = random_pixels(chip, 500)
    kernel, matrix = distortion(chip), homography(chip, output_plane(chip))
    together = np.stack(kernel.project(matrix, x, y))
    alone = np.array([kernel.project(matrix, one_x, one_y) for one_x, one_y in zip(x, y, strict=True)]).T
    shifted = np.stack(kernel.project(matrix, x[5:], y[5:]))
    assert (together == alone).all()
    assert (together[:, 5:] == shifted).all()


def test_shapes_follow_the_arguments_and_nan_stays_nan() -> None:
    chip = distorted_chip()
    x, y = np.meshgrid(np.arange(3.0), np.arange(2.0))
    assert pixel_to_plane(chip, x, y)[0].shape == (2, 3)
    ra, dec = pixel_to_sky(chip, [np.nan, 1.0], [1.0, 1.0])
    assert np.isnan([ra[0], dec[0]]).all()
    assert np.isfinite([ra[1], dec[1]]).all()


def test_the_plane_and_the_sky_tell_the_same_story() -> None:
    chip = distorted_chip()
    x, y = random_pixels(chip, 50)
    xi, eta = pixel_to_plane(chip, x, y)
    pixels = np.linalg.solve(chip.cd_matrix, np.stack([xi, eta])) + np.array(chip.crpix)[:, None]
    flat = plane_wcs(TanPlane(chip.crval, chip.crpix, chip.cd))
    ra, dec = flat.wcs_pix2world(*pixels, 1)
    np.testing.assert_allclose(pixel_to_sky(chip, x, y), (ra, dec), rtol=0, atol=1e-11)


@pytest.mark.parametrize(
    "crval", [(0.0, 0.0), (359.9999, -45.0), (120.0, 90.0), (10.0, -90.0), (77.0, 89.999)]
)
def test_newton_returns_to_the_pixel_anywhere_on_the_sky(crval: tuple[float, float]) -> None:
    chip = distorted_chip(crval=crval)
    x, y = random_pixels(chip)
    ra, dec = pixel_to_sky(chip, x, y)
    assert ((ra >= 0) & (ra < 360)).all()
    np.testing.assert_allclose(
        sky_to_pixel(chip, ra, dec), (x, y), rtol=0, atol=2e-7 if abs(crval[1]) == 90 else 1e-8
    )


@settings(max_examples=60, deadline=None)
@given(
    st.floats(0, 359.99),
    st.floats(-89.9, 89.9),
    st.floats(0, 360),
    st.floats(-0.5, 299.5),
    st.floats(-0.5, 199.5),
)
def test_round_trip_property(ra: float, dec: float, angle: float, x: float, y: float) -> None:
    chip = distorted_chip(crval=(ra, dec), angle_deg=angle)
    back = sky_to_pixel(chip, *pixel_to_sky(chip, x, y))
    assert np.hypot(back[0] - x, back[1] - y) < 1e-7


def test_newton_gives_nan_where_there_is_no_pixel() -> None:
    chip = distorted_chip(crval=(150.0, 2.0))
    x, y = sky_to_pixel(chip, [330.0, 150.0, np.nan, 60.0], [-2.0, 2.0, 0.0, 2.0])
    assert np.isnan([x[0], y[0], x[2], y[2], x[3], y[3]]).all()
    assert np.isfinite([x[1], y[1]]).all()


def test_what_lies_behind_the_output_plane_is_nan() -> None:
    chip = plain_chip(crval=(150.0, 2.0))
    behind = TanPlane((330.0, -2.0), (1.0, 1.0), (-1e-5, 0.0, 0.0, 1e-5))
    assert np.isnan(distortion(chip).project(homography(chip, behind), [0.0, 20.0], [0.0, 20.0])).all()


@pytest.mark.parametrize(
    "change",
    [
        {"ctype": ("RA---ARC", "DEC--ARC")},
        {"ctype": ("DEC--TAN", "RA---TAN")},
        {"cd": (0.0, 0.0, 0.0, 0.0)},
        {"crval": (float("nan"), 0.0)},
    ],
)
def test_other_projections_and_broken_numbers_are_refused(change: dict[str, tuple[float, ...]]) -> None:
    chip = replace(plain_chip(), **change)
    with pytest.raises(UnusableFileError, match="SCI,1"):
        pixel_to_sky(chip, 0.0, 0.0)
    with pytest.raises(UnusableFileError):
        sky_to_pixel(chip, 0.0, 0.0)


def test_an_unknown_origin_is_refused() -> None:
    with pytest.raises(UsageProblemError, match="origin"):
        pixel_to_sky(plain_chip(), 0.0, 0.0, "drizzlepac")  # type: ignore[arg-type]


@pytest.mark.parametrize("coefficients", [np.zeros((3, 4)), np.zeros(3), np.zeros((11, 11))])
def test_polynomials_of_wrong_shape_are_refused(coefficients: np.ndarray) -> None:
    with pytest.raises(ValueError, match="SIP"):
        ChipDistortion((0.0, 0.0), (coefficients, None))


@pytest.mark.parametrize("shape", [(2, 2), (3, 2), (1, 9)])
def test_homographies_of_wrong_shape_are_refused(shape: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="3 x 3"):
        ChipDistortion((0.0, 0.0)).project(np.ones(shape), 1.0, 2.0)


def test_order_nine_polynomials_agree_with_numpy() -> None:
    rng = np.random.default_rng(3)
    p, q = np.meshgrid(np.arange(10), np.arange(10), indexing="ij")
    coefficients = np.where(p + q <= 9, rng.uniform(-1, 1, (10, 10)) / 50.0 ** (p + q - 1.0), 0.0)
    x, y = rng.uniform(-40, 40, (2, 300))
    u, v = ChipDistortion((0.0, 0.0), (coefficients, None)).distort(x, y)
    np.testing.assert_allclose(
        u - x, np.polynomial.polynomial.polyval2d(x, y, coefficients), rtol=0, atol=1e-10
    )
    assert (v == y).all()
