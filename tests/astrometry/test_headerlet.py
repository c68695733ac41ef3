"""Headerlets: exact both ways, the same bytes again, and what stwcs makes of them."""

import io
import logging
import shutil
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS
from hapctl.processing.astrometry.content_hash import transformation_sha256
from hapctl.processing.astrometry.headerlet import headerlet_bytes, headerlet_name, read_headerlet
from hapctl.processing.astrometry.mapping import pixel_to_sky
from hapctl.processing.astrometry.reading import read_solutions
from hapctl.processing.astrometry.solution import WcsSolution
from hapctl.processing.errors import UnusableFileError
from hypothesis import given, settings
from hypothesis import strategies as st
from support.data import data_file
from support.exposure_files import exposure_file, two_chip_solution

FLOATS = st.floats(-1e3, 1e3, allow_nan=False)


def test_real_solutions_come_back_to_the_last_bit() -> None:
    for name in ("headers/sample_svm_flc.fits", "headers/2chipA_old.fits.gz", "headers/2chipC_old.fits.gz"):
        for found in read_solutions(data_file(name)):
            again = read_headerlet(headerlet_bytes(found.solution))
            assert transformation_sha256(again) == transformation_sha256(found.solution)
            assert (again.rootname, again.name) == (found.solution.rootname, found.solution.name)


@settings(max_examples=25)
@given(FLOATS, FLOATS, st.floats(0, 360), st.floats(-90, 90), st.lists(FLOATS, min_size=15, max_size=15))
def test_any_floats_come_back(x: float, y: float, ra: float, dec: float, values: list[float]) -> None:
    solution = two_chip_solution("jtest0001", tables=False)
    sip = np.zeros((5, 5))
    sip[np.add.outer(range(5), range(5)) <= 4] = values
    chips = tuple(replace(c, crpix=(x, y), crval=(ra, dec), sip_a=sip, sip_b=-sip) for c in solution.chips)
    changed = replace(solution, chips=chips)
    assert transformation_sha256(read_headerlet(headerlet_bytes(changed))) == transformation_sha256(changed)


def test_keywords_come_back() -> None:
    keywords = {
        **{"IDCTAB": "jref$0461802ej_idc.fits", "RMS_RA": 2.5, "RMS_DEC": 1.25, "NMATCHES": 28},
        **{"FITGEOM": "rscale", "CATALOG": "GAIADR3", "AUTHOR": "O'Neill", "HDRNAME": "long " * 30},
    }
    solution = WcsSolution(
        "jtest0001", "IDC_x-FIT_SVM_GAIADR3", two_chip_solution("jtest0001").chips, keywords
    )
    again = read_headerlet(headerlet_bytes(solution))
    for key, value in keywords.items():
        assert again.keywords[key] == (value.strip() if isinstance(value, str) else value)
    assert again.keywords["WCSTYPE"] == "undistorted a posteriori solution aligned by visit to GAIADR3"


def test_the_bytes_depend_on_the_solution_alone() -> None:
    solution = two_chip_solution("jtest0001")
    content = headerlet_bytes(solution)
    assert content == headerlet_bytes(two_chip_solution("jtest0001"))
    assert len(content) % 2880 == 0
    with fits.open(io.BytesIO(content)) as hdus:
        hdus.verify("exception")
        assert hdus[0].header["DATE"] == ""
        assert (
            hdus[0].header["HDRNAME"] == headerlet_name(solution) == "jtest0001_flt_IDC_0461802ej-hlet.fits"
        )
        assert [hdu.name for hdu in hdus].count("SIPWCS") == 2
    dated = headerlet_bytes(solution, date="2026-01-01", history=["x_shift : 1.0"])
    assert fits.getheader(io.BytesIO(dated))["DATE"] == "2026-01-01"


def test_astropy_finds_the_same_positions() -> None:
    solution = two_chip_solution("jtest0001", binning=1)
    x, y = np.random.default_rng(2).uniform(0, 2000, (2, 200))
    with warnings.catch_warnings(), fits.open(io.BytesIO(headerlet_bytes(solution))) as hdus:
        warnings.simplefilter("ignore")
        for chip in solution.chips:
            theirs = WCS(hdus["SIPWCS", chip.extver].header, hdus).all_pix2world(x, y, 0)
            np.testing.assert_allclose(pixel_to_sky(chip, x, y, origin="fits"), theirs, rtol=0, atol=1e-10)


def test_stwcs_applies_it_as_primary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from stwcs.wcsutil import HSTWCS, headerlet

    monkeypatch.chdir(tmp_path)  # stwcs writes headerlet.log where it stands

    solution = two_chip_solution("jtest0001")
    moved = tuple(replace(c, crval=(c.crval[0] + 1e-4, c.crval[1] - 2e-4)) for c in solution.chips)
    better = replace(solution, name="IDC_0461802ej-FIT_SVM_GAIADR3", chips=moved)
    science, hlet = tmp_path / "jtest0001_flc.fits", tmp_path / "jtest0001_hlet.fits"
    facts = {"NPOLFILE": "N/A", "D2IMFILE": "N/A"}
    science.write_bytes(exposure_file(solution, primary=facts))
    keywords = {**better.keywords, **facts, "SIPNAME": "jtest0001_0461802ej"}
    hlet.write_bytes(headerlet_bytes(replace(better, keywords=keywords)))
    logging.getLogger("headerlet").setLevel(logging.CRITICAL)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        headerlet.apply_headerlet_as_primary(str(science), str(hlet), attach=True, archive=False, force=True)
        found = read_solutions(science)
        with fits.open(science) as hdus:
            their_name = HSTWCS(hdus, ("SCI", 2)).wcs.name
    assert found[0].solution.name == their_name == better.name
    for ours, stored in zip(better.chips, found[0].solution.chips, strict=True):
        corners = np.array([0.0, 511.0]), np.array([0.0, 255.0])
        np.testing.assert_allclose(pixel_to_sky(ours, *corners), pixel_to_sky(stored, *corners), atol=1e-10)
    attached = [entry for entry in found if entry.location.kind == "headerlet"]
    assert [entry.solution.name for entry in attached] == [better.name]


def test_a_file_that_is_no_headerlet_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.fits"
    path.write_bytes(exposure_file(two_chip_solution("jtest0001")))
    shutil.copy(path, tmp_path / "b.fits")
    with pytest.raises(UnusableFileError, match="no SIPWCS extension"):
        read_headerlet(tmp_path / "b.fits")


def test_a_real_headerlet_file_is_read() -> None:
    solution = read_headerlet(data_file("headers/ia1d23dmq_flt_hlet.fits"), {1: (1, (1014, 1014))})
    assert (solution.name, solution.rootname) == ("IDC_w3m18525i", "ia1d23dmq")
    assert solution.chips[0].shape == (1014, 1014)
    assert not solution.problem
