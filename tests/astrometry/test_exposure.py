"""Facts of exposures, the kinds of files, and why an exposure is not mosaicked."""

import gzip
from pathlib import Path
from typing import Any

import pytest
from astropy.io import fits
from hapctl.processing.astrometry.exposure import (
    ExposureFacts,
    exposure_facts,
    hap_filter,
    mjd_to_utc,
    parse_date,
)
from hapctl.processing.astrometry.file_kinds import rejected_kind
from hapctl.processing.astrometry.fits_structure import read_fits
from hapctl.processing.errors import UnusableFileError
from support.data import data_file
from support.exposure_files import exposure_file, two_chip_solution


def _facts(path: Path) -> ExposureFacts:
    extensions = read_fits(path)
    assert rejected_kind(extensions, path.name) == ""
    return exposure_facts(extensions, path.name)


@pytest.mark.parametrize(
    ("name", "rootname", "detector", "filter_name", "suffix", "seconds", "code"),
    [
        ("hrc_47tuc/j8bt09jcq_flt.fits", "j8bt09jcq", "HRC", "f330w", "flt", 66.0, None),
        ("headers/sample_svm_flc.fits", "ib4606c6q", "UVIS", "f555w", "flc", 170.0, None),
        ("wfc3ir_goodss/ib6o23rsq_flt.fits.gz", "ib6o23rsq", "IR", "g141", "flt", 1102.935669, "dispersed"),
        ("stis_m33/o4k19a010_flt.fits.gz", "o4k19a010", "CCD", "clear", "flt", 300.0, "header_only"),
        ("wfpc2_omegacen/u40x010hm_c0f.fits", "u40x010hm", "PC", "f555w", "c0f", 100.0, "header_only"),
        ("acs_wfc_reference/j94f05bgq_flt.fits.gz", "j94f05bgq", "WFC", "f606w", "flt", 400.0, "empty"),
    ],
)
def test_real_exposures(
    name: str, rootname: str, detector: str, filter_name: str, suffix: str, seconds: float, code: str | None
) -> None:
    facts = _facts(data_file(name))
    assert (facts.rootname, facts.visit, facts.detector) == (rootname, rootname[:6], detector)
    assert (facts.filter, facts.suffix, facts.exposure_time) == (filter_name, suffix, seconds)
    assert (facts.rejection.code if facts.rejection else None) == code
    assert facts.t_start is not None
    assert facts.t_end is not None
    assert facts.t_mid is not None
    assert facts.t_start < facts.t_mid < facts.t_end


def test_an_exposure_of_several_imsets_spans_them() -> None:
    facts = _facts(data_file("stis_m33/o4k19a010_flt.fits.gz"))
    assert (facts.mjd_start, facts.mjd_end) == (50853.22429083, 50853.22827249)
    assert [(chip.extver, chip.chip) for chip in facts.chips] == [(1, 1), (2, 1)]


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("acs_wfc_reference/0461802ej_idc.fits", "reference file (distortion coefficients)"),
        ("acs_wfc_reference/qbu16424j_npl.fits", "reference file (dxy grid)"),
        ("acs_wfc_reference/simple.fits", "not an HST exposure"),
        ("headers/dist_lookup.fits.gz", "not an HST exposure"),
        ("headers/ie6d07ujq_wcs.fits", "not an HST exposure"),
        ("headers/ia1d23dmq_flt_hlet.fits", "headerlet"),
        ("headers/sample_mvm_drc.fits", "drizzled product"),
        ("wfpc2_omegacen/u40x010hm_c1f.fits", "data quality file"),
        ("wfpc2_omegacen/s9518396u_off.fits", "reference file (chip offset)"),
    ],
)
def test_other_files_have_a_kind(name: str, kind: str) -> None:
    assert rejected_kind(read_fits(data_file(name)), Path(name).name) == kind


@pytest.mark.parametrize(
    ("cards", "code"),
    [
        ({}, None),
        ({"FGSLOCK": "GYROS"}, None),
        ({"TARGNAME": "DARK-NM"}, "calibration"),
        ({"IMAGETYP": "FLAT"}, "calibration"),
        ({"MTFLAG": "T"}, "moving_target"),
        ({"MTFLAG": True}, "moving_target"),
        ({"SCAN_TYP": "C"}, "scan"),
        ({"SCAN_TYP": "N"}, None),
        ({"FILTER1": "G800L"}, "dispersed"),
        ({"FILTER1": "PR130L"}, "dispersed"),
        ({"OBSTYPE": "SPECTROSCOPIC"}, "spectroscopic"),
        ({"EXPTIME": 0.0}, "zero_exposure"),
        ({"CHINJECT": "CONT"}, "charge_injection"),
        ({"CHINJECT": "NONE"}, None),
        ({"FILTER1": "BLOCK1"}, "filter"),
        ({"FILTER2": "FR656N"}, None),  # products leave it out, see filter_rules
        ({"TARGNAME": "EARTH-CALIB"}, "calibration"),
        ({"TARGNAME": "TUNGSTEN"}, "calibration"),
        ({"INSTRUME": "WFPC2", "DETECTOR": 1, "TARGNAME": "INTFLAT"}, "calibration"),
        ({"INSTRUME": "WFPC2", "DETECTOR": 1, "TARGNAME": "KSPOTS"}, "calibration"),
        ({"SCAN_TYP": "D"}, "scan"),
        ({"DRIZCORR": "SKIPPED"}, "drizzle_off"),
        ({"DRIZCORR": "COMPLETE"}, None),
        ({"DRIZCORR": "OMIT"}, "drizzle_off"),
    ],
)
def test_every_rule_of_rejection(tmp_path: Path, cards: dict[str, Any], code: str | None) -> None:
    path = tmp_path / "jtest0001_flc.fits"
    path.write_bytes(exposure_file(two_chip_solution("jtest0001", binning=16), primary=cards))
    facts = _facts(path)
    assert (facts.rejection.code if facts.rejection else None) == code
    assert bool(facts.rejection_reason) == (code is not None)


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize(("fill", "code"), [(0.0, "empty"), (1.0, None)])
def test_an_exposure_without_signal(tmp_path: Path, fill: float, code: str | None, packed: bool) -> None:
    content = exposure_file(two_chip_solution("jtest0001", binning=16), fill=fill)
    path = tmp_path / ("jtest0001_flc.fits.gz" if packed else "jtest0001_flc.fits")
    path.write_bytes(gzip.compress(content) if packed else content)
    facts = _facts(path)
    assert (facts.rejection.code if facts.rejection else None) == code


def test_one_signal_anywhere_is_enough(tmp_path: Path) -> None:
    path = tmp_path / "jtest0001_flc.fits"
    path.write_bytes(exposure_file(two_chip_solution("jtest0001", binning=16), fill=0.0))
    with fits.open(path, mode="update") as hdus:
        hdus["SCI", 2].data[-1, -1] = 1e-3
    assert _facts(path).rejection is None


@pytest.mark.parametrize(("lock", "told"), [("GYROS", True), ("COARSE", True), ("FINE", False), ("", False)])
def test_a_missing_lock_on_guide_stars_is_only_told(tmp_path: Path, lock: str, told: bool) -> None:
    path = tmp_path / "jtest0001_flc.fits"
    path.write_bytes(exposure_file(two_chip_solution("jtest0001", binning=16), primary={"FGSLOCK": lock}))
    facts = _facts(path)
    assert facts.rejection is None
    assert bool(facts.warning) is told


@pytest.mark.parametrize(
    ("elements", "name"),
    [
        (("F606W", "CLEAR2L"), "f606w"),
        (("CLEAR1S", "F330W"), "f330w"),
        (("POL0V", "F606W"), "f606w-pol0v"),
        (("F435W", "F814W"), "f435w-f814w"),
        (("CLEAR1L", "CLEAR2L"), "clear"),
        (("N/A", ""), "clear"),
        ((), "clear"),
    ],
)
def test_filter_names(elements: tuple[str, ...], name: str) -> None:
    assert hap_filter(elements) == name


def test_a_copy_keeps_its_suffix_whatever_it_is_called(tmp_path: Path) -> None:
    path = tmp_path / "my favourite.fits"
    path.write_bytes(exposure_file(two_chip_solution("jtest0001", binning=16), suffix="flt"))
    assert _facts(path).suffix == "flt"


def test_a_rootname_that_is_none_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a_flt.fits"
    path.write_bytes(exposure_file(two_chip_solution("short", binning=16)))
    with pytest.raises(UnusableFileError, match="not ipppssoot"):
        _facts(path)


def test_times_and_dates() -> None:
    assert mjd_to_utc(51544.5).isoformat() == "2000-01-01T12:00:00+00:00"  # type: ignore[union-attr]
    assert parse_date("2020-02-03T04:05:06").hour == 4  # type: ignore[union-attr]
    assert parse_date("31/12/97").year == 1997  # type: ignore[union-attr]
    assert parse_date("yesterday") is None
