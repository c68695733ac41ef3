"""A simulated visit: its headers are accepted by others' software, its stars are where the truth says."""

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table
from astropy.wcs import WCS
from hapctl.processing.astrometry.reading import read_solutions
from hapctl.processing.errors import UnusableFileError, UsageProblemError
from hapctl.processing.simulation.plan import VisitPlan, planned_exposures, true_pointing
from hapctl.processing.simulation.truth import alignment_error, mapping_error, read_truth
from hapctl.processing.simulation.visit import SimulatedVisit, simulate_visit
from stwcs.wcsutil import HSTWCS
from support.data import data_file

SMALL = VisitPlan(exposures=2, filters=("F606W", "F814W"), chip_shape=(512, 1024), stars=400, galaxies=10)


@pytest.fixture(scope="module")
def visit(tmp_path_factory: pytest.TempPathFactory) -> SimulatedVisit:
    return simulate_visit(tmp_path_factory.mktemp("visit"), SMALL, masks=True)


def checksums(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.iterdir())}


def test_same_seed_same_bytes_other_seed_other_bytes(tmp_path: Path) -> None:
    plan = replace(SMALL, exposures=1, filters=("F606W",), chip_shape=(256, 512))
    made = [simulate_visit(tmp_path / name, plan) for name in ("first", "again")]
    other = simulate_visit(tmp_path / "other", replace(plan, seed=2))
    assert checksums(made[0].folder) == checksums(made[1].folder)
    shared = checksums(made[0].folder).items() & checksums(other.folder).items()
    assert not shared


@pytest.mark.filterwarnings("error::astropy.io.fits.verify.VerifyWarning")
def test_the_files_are_valid_and_laid_out_as_the_archive_delivers_them(visit: SimulatedVisit) -> None:
    with fits.open(visit.files[0]) as hdus:
        hdus.verify("exception")
        names = [hdu.name for hdu in hdus]
        assert names[:7] == ["PRIMARY", "SCI", "ERR", "DQ", "SCI", "ERR", "DQ"]
        assert names[7:] == ["D2IMARR"] * 4 + ["WCSDVARR"] * 4 + ["WCSCORR"]
        assert hdus[0].header["NEXTEND"] == len(hdus) - 1
        assert [hdus["SCI", v].header["CCDCHIP"] for v in (1, 2)] == [2, 1]
        assert [hdus[n, 1].data.dtype.newbyteorder("=") for n in ("SCI", "ERR", "DQ")] == ["f4", "f4", "i2"]
        assert all(hdus[name, 1].header["CRPIX1"] == 0.0 for name in ("D2IMARR", "WCSDVARR"))
        history = hdus["WCSCORR"].data
        assert list(history["WCS_ID"]) == ["OPUS", "OPUS", "IDC_hapsim01j", "IDC_hapsim01j"]
        assert history["CRVAL1"][3] == hdus["SCI", 2].header["CRVAL1"]


def test_every_keyword_of_a_real_primary_and_science_header_is_there(visit: SimulatedVisit) -> None:
    bookkeeping = {"ORIGIN", "IRAF-TLM", "MDRIZSKY", "PHOTTAB", "TDDCORR", "WFCTDD", "UPWCSVER", "PYWCSVER"}
    left_by_older_software = {"AXISCORR", "TDDALPHA", "TDDBETA", "DATE", "CPERROR1", "CPERROR2", "D2IMERR"}
    with fits.open(data_file("headers/2chipA_old.fits.gz")) as real, fits.open(visit.files[0]) as ours:
        missing = set(real[0].header) - set(ours[0].header) - bookkeeping
        assert missing == set()
        wanted = {k for k in real["SCI", 2].header if not k.startswith(("O", "S")) or k == "SDQFLAGS"}
        odd = {"HISTORY", "CDELT1O", "CDELT2O", "LONPOLEO", "LATPOLEO", "RESTFRQO", "RESTWAVO", "WCSCDATE"}
        missing = wanted - set(ours["SCI", 2].header) - bookkeeping - left_by_older_software - odd
        assert missing == set()


def test_stwcs_reads_the_wcs_of_both_chips(visit: SimulatedVisit) -> None:
    with fits.open(visit.files[0]) as hdus:
        for extver in (1, 2):
            wcs = HSTWCS(hdus, ext=("SCI", extver))
            assert (wcs.idcscale, wcs.naxis1, wcs.naxis2) == (0.05, 1024, 512)
            assert wcs.sip.a_order == 4
            assert wcs.cpdis1 is not None
            assert wcs.det2im2 is not None
            assert wcs.vafactor == hdus["SCI", extver].header["VAFACTOR"]
            assert wcs.orientat == pytest.approx(hdus["SCI", extver].header["ORIENTAT"])


def test_full_frames_are_distorted_as_the_camera_is(tmp_path: Path) -> None:
    plan = replace(VisitPlan(), exposures=1, filters=("F606W",), stars=0, galaxies=0)
    made = simulate_visit(tmp_path, plan)
    lower, upper = (made.truth.true_wcs("jhap01a0q", extver) for extver in (1, 2))
    corners = np.array([[1, 1], [4096, 1], [1, 2048], [4096, 2048]], dtype=float)
    straight = WCS(naxis=2)
    straight.wcs.crpix, straight.wcs.cd = lower.wcs.crpix, lower.wcs.cd
    straight.wcs.crval, straight.wcs.ctype = lower.wcs.crval, ["RA---TAN", "DEC--TAN"]
    moved = np.hypot(*(straight.all_world2pix(lower.all_pix2world(corners, 1), 1) - corners).T)
    assert moved.min() > 15
    assert 40 < moved.max() < 90
    assert separation_arcsec(lower, (2048, 2048.5), upper, (2048, 0.5)) == pytest.approx(2.5, abs=0.01)
    sides = np.sqrt((lower.wcs.cd**2).sum(axis=0)) * 3600
    skew = lower.wcs.cd[:, 0] @ lower.wcs.cd[:, 1] / np.prod(sides / 3600)
    assert 0.05 < abs(np.degrees(np.arcsin(skew))) / 57.3 < 0.12
    for name, limit in (("WCSDVARR", 0.05), ("D2IMARR", 0.06)):
        with fits.open(made.files[0]) as hdus:
            tables = [hdu.data for hdu in hdus if hdu.name == name]
        assert all(table.shape == (32, 64) and 0.01 < abs(table).max() <= limit for table in tables)


def separation_arcsec(
    first: WCS, here: tuple[float, float], second: WCS, there: tuple[float, float]
) -> float:
    (ra1, dec1), (ra2, dec2) = first.all_pix2world([here], 1)[0], second.all_pix2world([there], 1)[0]
    return 3600 * float(np.hypot((ra2 - ra1) * np.cos(np.radians(dec1)), dec2 - dec1))


def test_the_truth_file_puts_every_star_on_its_pixel(visit: SimulatedVisit) -> None:
    truth, stars = read_truth(visit.folder), Table.read(visit.star_file)
    for exposure in truth.exposures:
        for extver in (1, 2):
            these = stars[(stars["rootname"] == exposure.rootname) & (stars["extver"] == extver)]
            assert len(these) > 50
            ra, dec = truth.true_wcs(exposure.rootname, extver).all_pix2world(these["x"], these["y"], 0)
            assert np.abs(ra - these["ra"]).max() * 3.6e6 < 1e-3
            assert np.abs(dec - these["dec"]).max() * 3.6e6 < 1e-3


def test_light_lies_where_the_truth_says(tmp_path: Path) -> None:
    plan = replace(SMALL, exposures=1, filters=("F606W",), exposure_time=5.0, stars=8000, galaxies=0)
    made = simulate_visit(tmp_path, plan)
    stars = Table.read(made.star_file)
    offsets = []
    with fits.open(made.files[0]) as hdus:
        for extver in (1, 2):
            bright = stars[(stars["extver"] == extver) & (stars["electrons"] > 2e4) & ~stars["saturated"]]
            offsets += centroid_offsets(hdus["SCI", extver].data, hdus["DQ", extver].data, bright)
    offset = np.array(offsets)
    assert len(offset) > 20
    assert np.abs(np.median(offset[:, :2], axis=0)).max() < 0.01
    assert np.median(offset[:, 2]) == pytest.approx(0.98, abs=0.015)


def centroid_offsets(sci: np.ndarray, dq: np.ndarray, stars: Table) -> list[tuple[float, float, float]]:
    """Moments in a box of 13 pixels about isolated, unflagged stars: offsets, and share of the light."""
    rows, columns = np.mgrid[-6:7, -6:7]
    found = []
    for star in stars:
        x, y = round(star["x"]), round(star["y"])
        near = np.hypot(stars["x"] - star["x"], stars["y"] - star["y"]) < 20
        box = np.s_[y - 6 : y + 7, x - 6 : x + 7]
        if sci[box].shape != (13, 13) or dq[box].any() or near.sum() > 1:
            continue
        light = sci[box] - np.median(sci)
        total = light.sum()
        found.append(
            (
                x + (light * columns).sum() / total - star["x"],
                y + (light * rows).sum() / total - star["y"],
                total / star["electrons"],
            )
        )
    return found


def test_the_header_is_wrong_by_the_injected_error_and_the_truth_by_nothing(visit: SimulatedVisit) -> None:
    truth = visit.truth
    for exposure, planned in zip(truth.exposures, planned_exposures(SMALL), strict=True):
        primary = read_solutions(truth.folder / exposure.file)[0].solution
        error = alignment_error(truth, primary)
        looked = true_pointing(SMALL, planned)
        east = (planned.pointing.ra - looked.ra) * np.cos(np.radians(looked.dec)) * 3.6e6
        assert error.mean_east_mas == pytest.approx(east, abs=15)
        assert error.mean_north_mas == pytest.approx((planned.pointing.dec - looked.dec) * 3.6e6, abs=15)
        chips = zip(primary.chips, exposure.chips, strict=True)
        right = replace(primary, chips=tuple(replace(c, crval=t.crval, cd=t.cd) for c, t in chips))
        assert alignment_error(truth, right).max_mas < 1e-3


def test_errors_of_a_visit_are_within_their_limits_and_nearly_common() -> None:
    for seed in range(40):
        plan = replace(SMALL, seed=seed)
        shifts, turns = [], []
        for exposure in planned_exposures(plan):
            looked = true_pointing(plan, exposure)
            east = (looked.ra - exposure.pointing.ra) * np.cos(np.radians(looked.dec)) * 3600
            shifts.append((east, (looked.dec - exposure.pointing.dec) * 3600))
            turns.append(looked.pa_v3 - exposure.pointing.pa_v3)
        assert np.hypot(*np.mean(shifts, axis=0)) < 1.05
        assert np.ptp(shifts, axis=0).max() < 0.08
        assert abs(np.mean(turns)) < 0.052
        assert 0 < np.ptp(turns) < 0.004


def test_without_errors_the_header_is_the_truth(tmp_path: Path) -> None:
    plan = replace(
        SMALL, exposures=1, filters=("F814W",), pointing_error=0.0, roll_error=0.0, scale_error=0.0, stars=0
    )
    made = simulate_visit(tmp_path, plan)
    assert alignment_error(made.truth, read_solutions(made.files[0])[0].solution).max_mas < 1e-3


def test_a_known_offset_is_measured_as_such(visit: SimulatedVisit) -> None:
    truth, rootname = visit.truth, visit.truth.exposures[0].rootname

    def two_mas_north(extver: int, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        ra, dec = truth.true_wcs(rootname, extver).all_pix2world(x, y, 0)
        return ra, dec + 2.0 / 3.6e6

    error = mapping_error(truth, rootname, two_mas_north)
    assert (error.rms_mas, error.mean_north_mas) == pytest.approx((2.0, 2.0), abs=1e-4)
    assert error.mean_east_mas == pytest.approx(0.0, abs=1e-4)


def test_cosmic_rays_are_in_the_mask_and_nowhere_in_the_flags(visit: SimulatedVisit) -> None:
    with (
        fits.open(visit.files[0]) as hdus,
        fits.open(visit.folder / f"{visit.truth.exposures[0].rootname}_rays.fits") as rays,
    ):
        sci, dq, hit = hdus["SCI", 1].data, hdus["DQ", 1].data, rays["RAYS", 1].data.astype(bool)
        assert 5e-4 < hit.mean() < 2e-2
        assert np.median(sci[hit]) > np.median(sci) + 20
        assert not (dq & (4096 | 8192)).any()


def test_stwcs_makes_the_distortion_of_real_reference_files(tmp_path: Path) -> None:
    folder = data_file("acs_wfc_reference/0461802ej_idc.fits").parent
    plan = VisitPlan(exposures=1, filters=("F606W",), stars=600, galaxies=0, reference_dir=folder)
    made = simulate_visit(tmp_path, plan)
    assert {path.name for path in made.reference_files} == {
        "0461802ej_idc.fits",
        "02c1450oj_d2i.fits",
        "02c14514j_npl.fits",
    }
    with fits.open(made.files[0]) as hdus, fits.open(folder / "02c1450oj_d2i.fits") as d2im:
        assert hdus[0].header["IDCTAB"] == "0461802ej_idc.fits"
        assert hdus["SCI", 2].header["WCSNAME"] == "IDC_0461802ej"
        assert hdus["SCI", 1].header["WCSNAMEO"] == "OPUS"
        assert HSTWCS(hdus, ext=("SCI", 2)).sip.a_order == 5
        assert np.array_equal(hdus["D2IMARR", 1].data, d2im[1].data)
    stars = Table.read(made.star_file)
    ra, _ = made.truth.true_wcs("jhap01a0q", 1).all_pix2world(stars["x"], stars["y"], 0)
    on_first = np.asarray(stars["extver"] == 1)
    assert np.abs(ra - stars["ra"])[on_first].max() * 3.6e6 < 1e-3


def test_reference_files_that_are_not_there_are_named(tmp_path: Path) -> None:
    folder = data_file("acs_wfc_reference/0461802ej_idc.fits").parent
    with pytest.raises(UsageProblemError, match="no NPOLFILE for F435W"):
        simulate_visit(tmp_path, VisitPlan(filters=("F435W",), reference_dir=folder))
    with pytest.raises(UsageProblemError, match=r"no ACS/WFC \*_idc"):
        simulate_visit(tmp_path, VisitPlan(reference_dir=tmp_path))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"filters": ("F999W",)}, "no such filter: F999W"),
        ({"filters": ()}, "no such filter"),
        ({"filters": ("F606W", "F606W")}, "named twice"),
        ({"visit": "ib4606"}, "not an ACS visit"),
        ({"exposures": 0}, "between 1 and 936"),
        ({"chip_shape": (64, 64)}, "128 pixels"),
    ],
)
def test_impossible_plans_are_refused(tmp_path: Path, change: dict[str, object], message: str) -> None:
    with pytest.raises(UsageProblemError, match=message):
        simulate_visit(tmp_path / "none", replace(SMALL, **change))
    assert not (tmp_path / "none").exists()


def test_what_is_no_truth_file_is_said(tmp_path: Path) -> None:
    with pytest.raises(UnusableFileError, match="no truth"):
        read_truth(tmp_path)
    (tmp_path / "truth.json").write_text('{"visit": "x"}')
    with pytest.raises(UnusableFileError, match="no truth"):
        read_truth(tmp_path)


def test_an_exposure_of_another_visit_is_refused(visit: SimulatedVisit) -> None:
    with pytest.raises(UsageProblemError, match="j8bt06nyq is not of the simulated visit jhap01"):
        visit.truth.exposure("j8bt06nyq")
