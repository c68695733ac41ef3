"""Simulated WFC3 visits: both detectors, their headers, noise and photometry, and the way to mosaics."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.table import Table
from hapctl.archive.database import Catalog
from hapctl.processing.astrometry.exposure import exposure_facts
from hapctl.processing.astrometry.fits_structure import read_fits
from hapctl.processing.astrometry.reading import read_solutions
from hapctl.processing.errors import UsageProblemError
from hapctl.processing.imaging.chip_data import ExposureImage
from hapctl.processing.imaging.flux_scale import flux_scale
from hapctl.processing.imaging.moving_target import target_position
from hapctl.processing.simulation.camera import DQ_HOT, stream
from hapctl.processing.simulation.cameras import CAMERAS
from hapctl.processing.simulation.distortion import linear_wcs, own_distorted_wcs
from hapctl.processing.simulation.infrared_pixels import DQ_BLOB, expose_infrared
from hapctl.processing.simulation.plan import VisitPlan
from hapctl.processing.simulation.pointing import Pointing
from hapctl.processing.simulation.truth import alignment_error, read_truth
from hapctl.processing.simulation.visit import SimulatedVisit, simulate_visit
from hapctl.processing.simulation.wfc3_ir import WFC3_IR
from hapctl.processing.simulation.wfc3_uvis import WFC3_UVIS
from stwcs.wcsutil import HSTWCS
from support.commands import Runner
from support.data import data_file
from support.mosaics import active_solution

BOTH = VisitPlan(
    visit="ihap01",
    detector="BOTH",
    filters=("F555W", "F160W"),
    chip_shape=(512, 1024),
    stars=250,
    galaxies=4,
    exposure_time=200.0,
)
UVIS, IR = (0, 1), (2, 3)
REFERENCES = {"UVIS": "headers/sample_svm_flc.fits", "IR": "headers/sample_svm_flt.fits"}


@pytest.fixture(scope="module")
def visit(tmp_path_factory: pytest.TempPathFactory) -> SimulatedVisit:
    return simulate_visit(tmp_path_factory.mktemp("wfc3"), BOTH, masks=True)


@pytest.mark.filterwarnings("error::astropy.io.fits.verify.VerifyWarning")
def test_files_are_laid_out_as_the_archive_delivers_them(visit: SimulatedVisit) -> None:
    assert [path.name[10:] for path in visit.files] == ["flc.fits"] * 2 + ["flt.fits"] * 2
    layouts = []
    for path in (visit.files[0], visit.files[2]):
        with fits.open(path) as hdus:
            hdus.verify("exception")
            assert hdus[0].header["NEXTEND"] == len(hdus) - 1
            layouts.append([(hdu.name, hdu.ver) for hdu in hdus[1:]])
    assert layouts[0][:6] == [(name, ver) for ver in (1, 2) for name in ("SCI", "ERR", "DQ")]
    assert [name for name, _ in layouts[0][6:]] == ["D2IMARR"] * 4 + ["WCSDVARR"] * 4 + ["WCSCORR"]
    assert [name for name, _ in layouts[1]] == ["SCI", "ERR", "DQ", "SAMP", "TIME", "WCSCORR"]


@pytest.mark.parametrize(("detector", "number"), [("UVIS", 0), ("IR", 2)])
def test_keywords_of_real_headers_are_there(visit: SimulatedVisit, detector: str, number: int) -> None:
    """All but those that the archive's own software adds, and those of solutions it fitted."""
    added = {"ORIGIN", "AWSYSVER", "AWSDPVER", "CRDS_CTX", "CRDS_VER", "UPWCSVER", "PYWCSVER", "HAPLEVEL"}
    added |= {
        "IPPPSSOO",
        "COMMENT",
        "MDRIZSKY",
        "S_REGION",
        "SKYCELL",
        "MJDREF",
        "DATE",
        "FITGEOM",
        "NMATCHES",
    }
    unused = {"ATODTAB", "BIACFILE", "BIASFILE", "DRKCFILE", "FLSHFILE", "PCTETAB", "SATUFILE", "SNKCFILE"}
    unused |= {"NLINFILE", "NPOLFILE", "D2IMFILE"}
    fitted = ("HDRNAME", "RMS_", "CRDER", "PHTFLAM", "PHTRATIO", "PHOT")
    with fits.open(data_file(REFERENCES[detector])) as real, fits.open(visit.files[number]) as ours:
        for extension in (0, 1):
            mine = set(ours[extension].header) | set(ours[1].header)
            missing = set(real[extension].header) - mine - added - unused
            missing = {key for key in missing if not key.startswith(fitted) and key[:-1] not in mine}
            assert not {key for key in missing if key[-1] not in "ABC" or key[:-1] + "O" not in mine}
        for keyword in ("BUNIT", "LTV1", "BINAXIS1", "IDCTHETA"):
            assert ours["SCI"].header[keyword] == real["SCI"].header[keyword]
        assert ours["SCI"].header["IDCSCALE"] == pytest.approx(real["SCI"].header["IDCSCALE"], rel=1e-6)


def test_they_are_exposures_of_two_detectors_for_the_catalog(visit: SimulatedVisit) -> None:
    facts = [exposure_facts(read_fits(path), path.name) for path in visit.files]
    assert [one.rejection for one in facts] == [None] * 4
    kinds = [(one.instrument, one.detector, one.filter, one.suffix, len(one.chips)) for one in facts]
    assert kinds[:2] == [("WFC3", "UVIS", "f555w", "flc", 2)] * 2
    assert kinds[2:] == [("WFC3", "IR", "f160w", "flt", 1)] * 2
    units = [(one.chips[0].unit, one.chips[0].photflam) for one in facts]
    assert units[::2] == [("ELECTRONS", 1.84e-19), ("ELECTRONS/S", 1.93e-20)]


def test_stwcs_reads_the_distortion(visit: SimulatedVisit) -> None:
    with fits.open(visit.files[0]) as hdus:
        wcs = HSTWCS(hdus, ext=("SCI", 2))
        assert (wcs.idcscale, wcs.sip.a_order, wcs.naxis1) == (0.03962, 4, 1024)
        assert wcs.cpdis1 is not None
        assert wcs.det2im2 is not None
    with fits.open(visit.files[2]) as hdus:
        wcs = HSTWCS(hdus, ext=("SCI", 1))
        assert (wcs.idcscale, wcs.sip.a_order) == (0.12825, 4)
        assert wcs.cpdis1 is None
        assert hdus[0].header["DISTNAME"] == "ihap01a2q_hapsimiri-NOMODEL-NOMODEL"


@pytest.mark.parametrize(("detector", "filter_name"), [("UVIS", "F555W"), ("IR", "F160W")])
def test_pixels_are_as_large_and_as_skewed_as_the_cameras(detector: str, filter_name: str) -> None:
    """The chips of a real exposure and of a simulated one: sizes, shapes, distortion, gap."""
    (camera,) = CAMERAS[detector]
    pointing = Pointing(137.84, -64.91, 194.955)
    ours = own_distorted_wcs(camera, "ihap01a0q", pointing, 1.0, camera.full_shape, filter_name).chip_headers
    real = read_solutions(data_file(REFERENCES[detector]))[0].solution
    places = []
    for header, other in zip(ours, real.chips, strict=True):
        linear = linear_wcs(header)
        sizes = [np.linalg.svd(cd * 3600.0, compute_uv=False) for cd in (linear.cd, other.cd_matrix)]
        assert sizes[0] == pytest.approx(sizes[1], rel=5e-4)
        assert np.linalg.det(linear.cd) < 0
        angles = [np.degrees(np.arctan2(cd[0, 1], cd[1, 1])) for cd in (linear.cd, other.cd_matrix)]
        assert angles[0] == pytest.approx(angles[1], abs=0.05)
        assert other.sip_a is not None
        assert header["A_1_1"] == pytest.approx(other.sip_a[1, 1], rel=1e-3)
        places.append((linear.crval, other.crval))
    if len(places) == 2:
        apart = [
            SkyCoord(*a, unit="deg").separation(SkyCoord(*b, unit="deg")).arcsec
            for a, b in zip(*places, strict=True)
        ]
        assert apart[0] == pytest.approx(apart[1], abs=0.3)


def test_the_truth_puts_stars_on_their_pixels(visit: SimulatedVisit) -> None:
    truth, stars = read_truth(visit.folder), Table.read(visit.star_file)
    assert len(truth.exposures) == 4
    for exposure in truth.exposures:
        for chip in exposure.chips:
            these = stars[(stars["rootname"] == exposure.rootname) & (stars["extver"] == chip.extver)]
            assert len(these) > 30
            ra, dec = truth.true_wcs(exposure.rootname, chip.extver).all_pix2world(these["x"], these["y"], 0)
            assert max(np.abs(ra - these["ra"]).max(), np.abs(dec - these["dec"]).max()) * 3.6e6 < 1e-3


@pytest.mark.parametrize(("detector", "shape"), [("UVIS", (512, 1024)), ("IR", (420, 420))])
def test_light_lies_where_the_truth_says_and_pixel_areas_count(
    detector: str, shape: tuple[int, int], tmp_path: Path
) -> None:
    filters = ("F606W",) if detector == "UVIS" else ("F160W",)
    plan = replace(
        BOTH, detector=detector, filters=filters, exposures=1, chip_shape=shape, stars=700, galaxies=0
    )
    made = simulate_visit(tmp_path, replace(plan, exposure_time=100.0))
    truth, stars = made.truth, Table.read(made.star_file)
    (camera,) = plan.cameras
    found = []
    with ExposureImage(made.files[0]) as exposure:
        for chip in exposure.chips:
            these = stars[(stars["extver"] == chip.extver) & ~stars["saturated"]]
            areas = pixel_areas(truth.true_wcs("ihap01a0q", chip.extver), these) / camera.plate_scale**2
            rates = camera.filters[filters[0]].rate(np.asarray(these["magnitude"]))
            for star, area, rate in zip(these, areas, rates, strict=True):
                if star["electrons"] > 5e3 and (place := measured(chip.science(), star, these)) is not None:
                    found.append((*place, place[2] * area * star["electrons"] / (rate * chip.exposure_time)))
    offsets = np.array(found)
    assert len(offsets) > 12
    assert np.abs(np.median(offsets[:, :2], axis=0)).max() < 0.02
    assert np.median(offsets[:, 2]) == pytest.approx(0.985, abs=0.02)
    assert np.median(offsets[:, 3]) == pytest.approx(0.985, abs=0.02)


def pixel_areas(wcs: object, stars: Table) -> np.ndarray:
    """Areas of the pixels at stars, square arcsec, by differences of one pixel."""
    steps = []
    for dx, dy in ((1.0, 0.0), (0.0, 1.0)):
        ends = [wcs.all_pix2world(stars["x"] + s * dx, stars["y"] + s * dy, 0) for s in (-0.5, 0.5)]  # type: ignore[attr-defined]
        (ra1, dec1), (ra2, dec2) = ends
        steps.append(((ra2 - ra1) * np.cos(np.radians(dec1)) * 3600, (dec2 - dec1) * 3600))
    (east_x, north_x), (east_y, north_y) = steps
    return np.abs(east_x * north_y - east_y * north_x)


def measured(image: np.ndarray, star: object, others: Table) -> tuple[float, float, float] | None:
    """Moments in a box of 19 pixels about an isolated star: offsets, and light over the star's electrons."""
    x, y = round(star["x"]), round(star["y"])  # type: ignore[index]
    distance = np.hypot(others["x"] - star["x"], others["y"] - star["y"])  # type: ignore[index]
    box = image[max(y - 9, 0) : y + 10, max(x - 9, 0) : x + 10].astype(float)
    near = (distance < 15) & (distance > 0) & (others["electrons"] > 0.01 * star["electrons"])  # type: ignore[index]
    if box.shape != (19, 19) or near.any():
        return None
    light = box - np.median(image)
    if np.abs(light).max() > 0.9 * star["electrons"]:  # type: ignore[index]
        return None  # a cosmic ray
    rows, columns = np.mgrid[-9:10, -9:10]
    core = light[4:15, 4:15]
    total = core.sum()
    east = (core * columns[4:15, 4:15]).sum() / total + x - star["x"]  # type: ignore[index]
    north = (core * rows[4:15, 4:15]).sum() / total + y - star["y"]  # type: ignore[index]
    return east, north, light.sum() / star["electrons"]  # type: ignore[index]


def test_chip_2_is_scaled_to_chip_1_by_the_calibration_or_by_us(tmp_path: Path) -> None:
    plan = replace(BOTH, detector="UVIS", filters=("F555W",), exposures=1, chip_shape=(128, 200), stars=20)
    done = simulate_visit(tmp_path / "done", plan).files[0]
    left = simulate_visit(tmp_path / "left", replace(plan, flux_corrected=False)).files[0]
    with ExposureImage(done) as scaled, ExposureImage(left) as native:
        scales = [flux_scale(e.header, [chip.header for chip in e.chips]) for e in (scaled, native)]
        assert [scale.equalised for scale in scales] == ["in the file", "here"]
        assert scales[0].factors == (1.0, 1.0)
        assert scales[1].factors == (pytest.approx(1.0105, rel=1e-12), 1.0)
        assert scales[0].photometry["PHOTFLAM"] == pytest.approx(scales[1].photometry["PHOTFLAM"], rel=1e-12)
        assert scaled.header["FLUXCORR"] == "COMPLETE"
        for one, other, factor in zip(scaled.chips, native.chips, scales[1].factors, strict=True):
            assert one.science() == pytest.approx(other.science() * factor, rel=1e-6)


def test_the_target_lies_at_postarg(visit: SimulatedVisit) -> None:
    for path in visit.files:
        with fits.open(path) as hdus:
            position = target_position(hdus[0].header, hdus["SCI", 1].header, path.name)
        assert position.target is not None
        assert position.aperture == pytest.approx(position.target, abs=1e-7)


def test_infrared_noise_is_what_err_says_and_defects_stay() -> None:
    light = np.full((300, 300), 250.0)
    first, again = (expose_infrared(light, WFC3_IR, 250.0, stream("test", n)) for n in (1, 2))
    good = (first.dq == 0) & ~first.cosmic_rays
    assert first.sci[good].mean() == pytest.approx(1.0, abs=2e-3)
    assert np.std((first.sci[good] - 1.0) / np.median(first.err[good])) == pytest.approx(1.0, abs=0.02)
    assert np.array_equal(first.dq, again.dq)
    assert 0.002 < ((first.dq & DQ_HOT) != 0).mean() < 0.006
    blob = (first.dq & DQ_BLOB) != 0
    assert 1e-4 < blob.mean() < 0.02
    clean = blob & ((first.dq & ~np.int16(DQ_BLOB)) == 0)
    assert first.sci[clean].mean() == pytest.approx(1.0, abs=0.03)
    assert 0 < first.cosmic_rays.mean() < 1e-4
    assert not (first.dq & 8192).any()


def test_bright_infrared_stars_keep_their_light_until_the_first_read_is_full() -> None:
    light = np.full((128, 128), 200.0)
    light[64, 64], light[64, 90] = 20 * WFC3_IR.full_well, 400 * WFC3_IR.full_well
    pixels = expose_infrared(light, WFC3_IR, 300.0, stream("test", 3))
    assert pixels.sci[64, 64] == pytest.approx(light[64, 64] / 300.0, rel=0.03)
    assert (pixels.dq[64, 64] & 256, pixels.dq[64, 90] & 256) == (0, 256)


def test_zeropoints_are_the_cameras_to_a_few_hundredths() -> None:
    published = {"F438W": 24.84, "F555W": 25.82, "F606W": 26.08, "F814W": 25.12}
    published |= {"F105W": 26.26, "F125W": 26.23, "F160W": 25.94}
    filters = {**WFC3_UVIS.filters, **WFC3_IR.filters}
    for name, zeropoint in published.items():
        assert filters[name].ab_zeropoint == pytest.approx(zeropoint, abs=0.04)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"visit": "jhap01"}, "'jhap01' is not a WFC3 visit"),
        ({"filters": ("F435W",)}, "no such filter: F435W"),
        ({"detector": "UVIS"}, "no such filter: F160W"),
        ({"detector": "SBC"}, "no such detector: SBC"),
        ({"reference_dir": Path()}, "for ACS/WFC alone"),
    ],
)
def test_impossible_plans_are_refused(tmp_path: Path, change: dict[str, object], message: str) -> None:
    with pytest.raises(UsageProblemError, match=message):
        simulate_visit(tmp_path / "none", replace(BOTH, **change))  # type: ignore[arg-type]
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize(
    ("detector", "shape", "filters"), [("UVIS", (600, 1200), ("F606W",)), ("IR", (507, 507), ("F160W",))]
)
def test_from_files_to_aligned_mosaics(
    run_hapctl: Runner,
    catalog: Catalog,
    tmp_path: Path,
    detector: str,
    shape: tuple[int, int],
    filters: tuple[str, ...],
) -> None:
    plan = VisitPlan(
        visit="ihap01",
        detector=detector,
        filters=filters,
        chip_shape=shape,
        stars=800,
        galaxies=5,
        exposure_time=300.0,
        seed=2,
    )
    made = simulate_visit(tmp_path, plan)
    circle = made.truth.covers
    run_hapctl("ingest", *made.files)
    covers = f"circle {circle.ra} {circle.dec} {circle.radius}"
    run_hapctl("gaia", "load", made.gaia_extract, "--release", "DR3", "--covers", covers)
    result = run_hapctl("align", "--visit", plan.visit, "--offline", "--json")
    assert result.exit_code == 0, result.stderr
    names = [exposure.rootname for exposure in made.truth.exposures]
    errors = [alignment_error(made.truth, active_solution(catalog, name)).rms_mas for name in names]
    assert max(errors) < 1.0
    output = tmp_path / "products"
    result = run_hapctl("mosaic", "--visit", plan.visit, "--output", output, "--json")
    assert result.exit_code == 0, result.stderr
    suffix = "drz" if detector == "IR" else "drc"
    [product] = output.rglob(f"*_{filters[0].lower()}_ihap01_{suffix}.fits")
    ratios = product_ratios(product, made, plan)
    assert len(ratios) > 10
    assert np.median(ratios) == pytest.approx(0.99, abs=0.02)


def product_ratios(product: Path, made: SimulatedVisit, plan: VisitPlan) -> np.ndarray:
    """Light within 9 pixels of isolated stars in a product, over what they send."""
    from astropy.wcs import WCS

    (camera,) = plan.cameras
    stars = Table.read(made.star_file)
    stars = stars[stars["rootname"] == made.truth.exposures[0].rootname]
    rates = camera.filters[plan.filters[0]].rate(np.asarray(stars["magnitude"]))
    with fits.open(product) as hdus:
        image, weight, wcs = hdus["SCI"].data, hdus["WHT"].data, WCS(hdus["SCI"].header)
    assert wcs.proj_plane_pixel_scales()[0].to_value("arcsec") == pytest.approx(camera.plate_scale, rel=0.011)
    x, y = wcs.all_world2pix(stars["ra"], stars["dec"], 0)
    rows, columns = np.mgrid[-14:15, -14:15]
    ratios = []
    for number in np.flatnonzero((rates > 15.0) & ~stars["saturated"]):
        distance = np.hypot(x - x[number], y - y[number])
        column, row = round(x[number]), round(y[number])
        box = np.s_[max(row - 14, 0) : row + 15, max(column - 14, 0) : column + 15]
        alone = not ((distance > 0) & (distance < 20) & (rates > 0.01 * rates[number])).any()
        if alone and image[box].shape == (29, 29) and (weight[box] > 0).all():
            radius = np.hypot(rows + row - y[number], columns + column - x[number])
            light = image[box] - np.median(image[box][radius > 11])
            ratios.append(light[radius < 9].sum() / rates[number])
    return np.array(ratios)
