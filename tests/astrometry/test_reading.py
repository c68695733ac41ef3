"""Every WCS solution of a file: where, under which name, with which tables, and what is wrong with it."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from hapctl.processing.astrometry.headerlet import headerlet_bytes
from hapctl.processing.astrometry.mapping import pixel_to_sky
from hapctl.processing.astrometry.reading import FoundSolution, read_solutions
from hapctl.processing.errors import UnusableFileError
from support.chips import astropy_as_read, read_chips
from support.data import data_file
from support.exposure_files import exposure_file, two_chip_solution

HEADERLETS = {
    "headers/sample_ipppssoot_flt.fits": 9,
    "headers/sample_ipppssoot_flc.fits": 8,
    "headers/sample_svm_flt.fits": 10,
    "headers/sample_svm_flc.fits": 10,
    "headers/sample_ipppssoot_flt_w_skycell_header_keyword.fits": 9,
    "hrc_47tuc/j8bt09jcq_flt.fits": 0,
    "wfpc2_omegacen/u40x010hm_c0f.fits": 0,
}


@pytest.mark.parametrize(("name", "count"), HEADERLETS.items())
def test_the_headerlets_of_the_manifest(name: str, count: int) -> None:
    kinds = Counter(found.location.kind for found in read_solutions(data_file(name)))
    assert (kinds["headerlet"], kinds["primary"]) == (count, 1)


def test_the_three_mixed_headerlets_are_caught_and_only_they() -> None:
    mixed = set()
    for name in HEADERLETS:
        for found in read_solutions(data_file(name)):
            if found.solution.problem:
                mixed.add((name, str(found.location), found.solution.problem))
    assert {(name, place) for name, place, _ in mixed} == {
        ("headers/sample_ipppssoot_flc.fits", "HDRLET 8"),
        ("headers/sample_svm_flc.fits", "HDRLET 9"),
        ("headers/sample_svm_flc.fits", "HDRLET 10"),
    }
    assert all("chips with different names" in problem for _, _, problem in mixed)


@pytest.mark.parametrize(
    "name",
    [
        "headers/sample_svm_flc.fits",
        "headers/2chipC_old.fits.gz",
        "hrc_47tuc/j8bt06nyq_flt.fits",
        "wfc3ir_goodss/ib6o21qnq_flt.fits.gz",
    ],
)
def test_the_primary_solution_is_what_astropy_reads(name: str) -> None:
    chips = read_solutions(data_file(name))[0].solution.chips
    with fits.open(data_file(name)) as hdus:
        for ours, theirs in zip(chips, read_chips(hdus), strict=True):
            assert ours.shape == theirs.shape
            np.testing.assert_allclose(ours.crval, theirs.crval, rtol=0, atol=0)
            np.testing.assert_allclose(ours.cd, theirs.cd, rtol=1e-15)
            np.testing.assert_array_equal(ours.sip_a, theirs.sip_a)
            for mine, other in zip(ours.npol + ours.d2im, theirs.npol + theirs.d2im, strict=True):
                assert (mine is None) == (other is None)
                if mine is not None and other is not None:
                    np.testing.assert_array_equal(mine.values, other.values)
                    assert (mine.crpix, mine.crval, mine.cdelt) == (other.crpix, other.crval, other.cdelt)


def test_the_old_column_correction_overrides(tmp_path: Path) -> None:
    path = data_file("headers/2chipA_old.fits.gz")
    chip = read_solutions(path)[0].solution.chips[0]
    assert chip.d2im[0] is not None
    assert chip.d2im[0].values.shape == (1, 4096)
    assert chip.d2im[1] is None
    x, y = np.array([0.0, 1000.0, 4095.0]), np.array([0.0, 700.0, 2047.0])
    ra, dec = pixel_to_sky(chip, x, y, origin="fits")
    with fits.open(path) as hdus:
        np.testing.assert_allclose([ra, dec], astropy_as_read(hdus, 1).all_pix2world(x, y, 0), atol=1e-11)


def test_left_over_coefficients_of_an_alternate_are_ignored() -> None:
    found = {
        str(entry.location): entry.solution
        for entry in read_solutions(data_file("headers/2chipC_old.fits.gz"))
    }
    assert found["key O"].chips[0].sip_a is None
    assert found["key A"].chips[0].sip_a is not None
    assert [found[place].name for place in ("key A", "key C", "key O")] == [
        "IDC_v5r1512gi",
        "TWEAK_A",
        "OPUS",
    ]


def test_waiver_files_have_four_chips_of_two_scales() -> None:
    chips = read_solutions(data_file("wfpc2_omegacen/u40x010hm_c0f.fits"))[0].solution.chips
    scales = [3600.0 * abs(np.linalg.det(chip.cd_matrix)) ** 0.5 for chip in chips]
    assert [chip.chip for chip in chips] == [1, 2, 3, 4]
    np.testing.assert_allclose(scales, [0.0455, 0.0996, 0.0996, 0.0996], atol=2e-4)


# What follows is made here, so that every fault is known.


def _read(tmp_path: Path, content: bytes) -> list[FoundSolution]:
    path = tmp_path / "made_flc.fits"
    path.write_bytes(content)
    return read_solutions(path)


def test_primary_alternate_and_headerlet_of_a_made_file(tmp_path: Path) -> None:
    solution = two_chip_solution("jtest0001")
    fit = replace(solution, name="IDC_0461802ej-FIT_SVM_GAIADR3")
    found = _read(tmp_path, exposure_file(solution, headerlets=[headerlet_bytes(fit)]))
    assert [str(entry.location) for entry in found] == ["primary", "key O", "HDRLET 1"]
    assert [entry.solution.name for entry in found] == [solution.name, "OPUS", fit.name]
    assert found[2].headerlet_bytes == headerlet_bytes(fit)
    assert found[0].solution.chips[1].npol[0] is not None
    assert found[1].solution.chips[1].npol == (None, None)


@pytest.mark.parametrize(
    ("keyword", "value", "expected"),
    [("CPERR1", -1.0, (None, "y")), ("CPERR2", -0.5, ("x", None)), ("CPERR1", 0.0, ("x", "y"))],
)
def test_a_negative_error_switches_a_table_off(
    tmp_path: Path, keyword: str, value: float, expected: tuple[str | None, str | None]
) -> None:
    content = _edited(tmp_path, {keyword: value})
    npol = _read(tmp_path, content)[0].solution.chips[0].npol
    assert tuple(bool(table) for table in npol) == tuple(bool(axis) for axis in expected)


def test_a_transposed_table_is_turned(tmp_path: Path) -> None:
    upright = _read(tmp_path, _edited(tmp_path, {}))[0].solution.chips[0].npol[0]
    turned = _read(tmp_path, _edited(tmp_path, {}, axis=2))[0].solution.chips[0].npol[0]
    assert upright is not None
    assert turned is not None
    np.testing.assert_array_equal(turned.values, upright.values.T)


@pytest.mark.parametrize("keyword", ["CRVAL1", "CRPIX2", "CD1_1", "A_2_0"])
def test_a_wcs_that_is_not_finite_is_refused(tmp_path: Path, keyword: str) -> None:
    content = exposure_file(two_chip_solution("jtest0001"))
    start = content.index(f"{keyword:8}= ".encode())
    broken = content[:start] + f"{keyword:8}= {'NaN':>20}".encode().ljust(80) + content[start + 80 :]
    with pytest.raises(UnusableFileError, match=r"WCS of SCI,1 is missing or not finite"):
        _read(tmp_path, broken)


def test_chips_of_different_names_are_a_problem(tmp_path: Path) -> None:
    found = _read(tmp_path, _edited(tmp_path, {"WCSNAME": "IDC_other"}))
    assert "chips with different names" in found[0].solution.problem
    assert not found[1].solution.problem


def test_an_alternate_of_another_distortion_model_is_a_problem(tmp_path: Path) -> None:
    solution = two_chip_solution("jtest0001")
    path = tmp_path / "a.fits"
    path.write_bytes(exposure_file(solution))
    with fits.open(path) as hdus:
        for hdu in hdus[1:3]:
            for card in list(hdu.header["C*O"].cards):
                hdu.header[card.keyword[:-1] + "A"] = card.value
            hdu.header["WCSNAMEA"] = "IDC_older1234"
        hdus.writeto(tmp_path / "b.fits")
    found = {str(entry.location): entry.solution.problem for entry in read_solutions(tmp_path / "b.fits")}
    assert "older1234 is no longer in the file" in found["key A"]
    assert not found["primary"]


def test_a_headerlet_without_one_of_the_chips_is_a_problem(tmp_path: Path) -> None:
    solution = two_chip_solution("jtest0001")
    half = headerlet_bytes(replace(solution, chips=solution.chips[:1]))
    found = _read(tmp_path, exposure_file(solution, headerlets=[half]))
    assert found[-1].solution.problem == "it has no WCS for SCI,2"


def test_a_damaged_headerlet_does_not_spoil_the_file(tmp_path: Path) -> None:
    solution = two_chip_solution("jtest0001")
    cut = headerlet_bytes(solution)[:5000]
    found = _read(tmp_path, exposure_file(solution, headerlets=[cut]))
    assert "truncated" in found[-1].solution.problem
    assert not found[0].solution.problem


def test_a_table_that_ends_before_its_chip_is_a_problem(tmp_path: Path) -> None:
    solution = two_chip_solution("jtest0001")
    short = [tuple(t and replace(t, values=t.values[:, :10]) for t in chip.npol) for chip in solution.chips]
    chips = tuple(replace(c, npol=n) for c, n in zip(solution.chips, short, strict=True))
    found = _read(tmp_path, exposure_file(replace(solution, chips=chips)))
    assert "NPOL table of SCI,1 ends at pixel" in found[0].solution.problem


def test_a_table_that_is_not_there_is_a_problem(tmp_path: Path) -> None:
    path = tmp_path / "a.fits"
    path.write_bytes(exposure_file(two_chip_solution("jtest0001")))
    with fits.open(path) as hdus:
        del hdus["WCSDVARR", 4]
        hdus.writeto(tmp_path / "b.fits")
    problem = read_solutions(tmp_path / "b.fits")[0].solution.problem
    assert problem == "its lookup table WCSDVARR,4 is not in the file"


def _edited(folder: Path, cards: dict[str, object], axis: int = 1) -> bytes:
    """A made file whose first SCI extension has other cards, or whose first NPOL table is transposed."""
    path = folder / "edited.fits"
    content = exposure_file(two_chip_solution("jtest0001"))
    if axis != 1:
        start = content.index(b"DP1     = 'AXIS.1: 1'")
        content = content[:start] + b"DP1     = 'AXIS.1: 2'" + content[start + 21 :]
    path.write_bytes(content)
    if not cards:
        return content
    with fits.open(path) as hdus:
        hdus[1].header.update(cards)
        hdus.writeto(path, overwrite=True)
    return path.read_bytes()
