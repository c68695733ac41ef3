"""The WCS made from distortion references: ACS, WFPC2 and STIS, subarrays, and what is missing."""

import gzip
import hashlib
import shutil
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from hapctl.processing.astrometry.content_hash import transformation_sha256
from hapctl.processing.astrometry.mapping import astropy_wcs, pixel_to_sky
from hapctl.processing.astrometry.plane import PlaneFit, TangentPlane, moved_solution, sky_matrix
from hapctl.processing.astrometry.reading import read_solutions
from hapctl.processing.astrometry.solution import LookupOrigin, WcsSolution
from hapctl.processing.astrometry.wcs_update import update_wcs
from hapctl.processing.astrometry.wcs_writing import apply_solution
from hapctl.processing.errors import MissingFileError
from support.commands import Runner
from support.data import data_file, data_root

WFC = "acs_wfc_reference/j94f05bgq_flt.fits.gz"


def primary(path: Path) -> WcsSolution:
    return read_solutions(path)[0].solution


@pytest.fixture(scope="module")
def updated_wfc(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The real ACS/WFC header with its WCS made anew."""
    path = tmp_path_factory.mktemp("wfc") / "j94f05bgq_flt.fits"
    update_wcs(data_file(WFC), path)
    return path


def test_a_real_acs_file_is_as_stwcs_left_it(updated_wfc: Path) -> None:
    """``simple.fits`` is what STScI's own updatewcs made of chip 2, header and tables."""
    theirs = fits.getheader(data_file("acs_wfc_reference/simple.fits"))
    chip = next(c for c in primary(updated_wfc).chips if c.chip == 2)
    for ours, keyword in zip(
        (*chip.cd, *chip.crval), ("CD1_1", "CD1_2", "CD2_1", "CD2_2", "CRVAL1", "CRVAL2"), strict=True
    ):
        assert ours == pytest.approx(theirs[keyword], rel=1e-10), keyword
    assert chip.sip_a is not None
    orders = [(p, q) for p in range(5) for q in range(5) if f"A_{p}_{q}" in theirs]
    assert len(orders) >= 12
    for p, q in orders:
        assert chip.sip_a[p, q] == pytest.approx(theirs[f"A_{p}_{q}"], rel=1e-8)


def test_everything_else_of_the_file_stays(updated_wfc: Path) -> None:
    with fits.open(data_file(WFC)) as before, fits.open(updated_wfc) as after:
        for name, version in (("SCI", 1), ("ERR", 1), ("DQ", 1), ("SCI", 2), ("ERR", 2), ("DQ", 2)):
            here, there = before[name, version], after[name, version]
            assert here.header["BITPIX"] == there.header["BITPIX"]
            assert here.data.tobytes() == there.data.tobytes()
        assert after[0].header["IDCTAB"] == before[0].header["IDCTAB"]
        science = after["SCI", 1].header
        assert science["WCSNAME"] == "IDC_postsm4"
        assert science["WCSNAMEO"] == "OPUS"
        assert science["WCSTYPE"] == "undistorted not aligned"
        assert science["S_REGION"].startswith("POLYGON ICRS 5.")
        assert after["ERR", 1].header["CD1_1"] == science["CD1_1"]
        assert after["DQ", 1].header["CTYPE1"] == "RA---TAN"
        assert after[0].header["NEXTEND"] == len(after) - 1


def test_an_earlier_fit_stays_as_headerlet_and_the_aperture_goes_back(
    updated_wfc: Path, tmp_path: Path
) -> None:
    old = primary(updated_wfc)
    matrix = sky_matrix(PlaneFit.similarity(np.array([0.3, 0.1]), 0.01), TangentPlane(*old.chips[0].crval))
    fit = replace(moved_solution(old, matrix), name="IDC_postsm4-FIT_SVM_GAIADR3")
    fitted, again = tmp_path / "j94f05bgq_flt.fits", tmp_path / "again_flt.fits"
    apply_solution(updated_wfc, fitted, fit)
    done = update_wcs(fitted, again, [data_root() / "acs_wfc_reference"])
    assert done.previous == fit.name
    found = {str(entry.location): entry.solution for entry in read_solutions(again)}
    for ours, theirs in zip(found["primary"].chips, old.chips, strict=True):
        assert (ours.crval, ours.cd) == (theirs.crval, theirs.cd)
    headerlets = {s.name: s for place, s in found.items() if place.startswith("HDRLET")}
    assert transformation_sha256(headerlets[fit.name]) == transformation_sha256(fit)
    angles = [fits.getheader(path, ("SCI", 1))["PA_APER"] for path in (updated_wfc, fitted, again)]
    assert abs(angles[1] - angles[0]) == pytest.approx(0.01, abs=1e-3)
    assert angles[2] == pytest.approx(angles[0], abs=2e-9)


def test_where_astropy_begins_its_tables_leaves_no_trace(updated_wfc: Path, tmp_path: Path) -> None:
    """CRVAL and CD are the same with and without tables: nothing was evaluated through them."""
    path, out = tmp_path / "j94f05bgq_flt.fits", tmp_path / "out.fits"
    with fits.open(data_file(WFC)) as hdus:
        hdus[0].header["NPOLFILE"] = hdus[0].header["D2IMFILE"] = "N/A"
        hdus.writeto(path, output_verify="silentfix")
    update_wcs(path, out, [data_root() / "acs_wfc_reference"])
    for ours, theirs in zip(primary(out).chips, primary(updated_wfc).chips, strict=True):
        assert (ours.crval, ours.cd, ours.npol, ours.d2im) == (
            theirs.crval,
            theirs.cd,
            (None, None),
            (None, None),
        )


def cut(source: Path, target: Path, extver: int, corner: tuple[int, int], size: tuple[int, int]) -> None:
    """A subarray as the archive delivers it: LTV tells where its first pixel was."""
    with fits.open(source) as hdus, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        header = hdus["SCI", extver].header.copy()
        (x0, y0), (nx, ny) = corner, size
        header.update({"EXTVER": 1, "LTV1": -float(x0), "LTV2": -float(y0), "SIZAXIS1": nx, "SIZAXIS2": ny})
        for axis, offset in ((1, x0), (2, y0)):
            for key in ("", "O"):
                if f"CRPIX{axis}{key}" in header:
                    header[f"CRPIX{axis}{key}"] -= offset
        top = hdus[0].header.copy()
        top["SUBARRAY"] = True
        made = fits.HDUList(
            [fits.PrimaryHDU(header=top), fits.ImageHDU(np.zeros((ny, nx), np.int16), header)]
        )
        made[0].header["NEXTEND"] = 1
        made.writeto(target, output_verify="silentfix")


@pytest.mark.parametrize(("extver", "corner"), [(1, (1536, 512)), (2, (0, 1024))])
def test_tables_of_a_subarray_lie_where_its_pixels_are(
    tmp_path: Path, updated_wfc: Path, extver: int, corner: tuple[int, int]
) -> None:
    """Its stars are where the full frame has them; stwcs's own CRVAL puts them off."""
    path, out = tmp_path / "j94f05bgq_flt.fits", tmp_path / "out.fits"
    cut(data_file(WFC), path, extver, corner, (512, 768))
    done = update_wcs(path, out, [data_root() / "acs_wfc_reference"])
    assert any("anchored to the subarray" in note for note in done.notes)
    [chip] = primary(out).chips
    full = next(c for c in primary(updated_wfc).chips if c.extver == extver)
    x, y = np.random.default_rng(1).uniform(0, 500, (2, 200))
    here = np.array(pixel_to_sky(chip, x, y))
    there = np.array(pixel_to_sky(full, x + corner[0], y + corner[1]))
    pixels = (here - there) * np.array([[np.cos(np.radians(here[1, 0]))], [1.0]]) * 3600.0 / 0.05
    # The full frame ties chip 1 to chip 2, a subarray of it stands on its own pointing: 0.13 pixel.
    pixels -= pixels.mean(axis=1, keepdims=True) if extver == 2 else 0.0
    assert np.abs(pixels).max() < 1e-3


@pytest.fixture(scope="module")
def updated_wfpc2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("wfpc2") / "u40x010hm_flt.fits"
    update_wcs(data_file("wfpc2_omegacen/u40x010hm_c0f.fits"), path)
    return path


def test_a_waiver_file_gets_four_distorted_chips(updated_wfpc2: Path) -> None:
    solution = primary(updated_wfpc2)
    assert (solution.name, solution.problem, [c.chip for c in solution.chips]) == (
        "IDC_sad1946fu",
        "",
        [1, 2, 3, 4],
    )
    assert [c.idcscale for c in solution.chips] == pytest.approx([0.0455, 0.0996, 0.0996, 0.0996], abs=1e-4)
    assert all(c.sip_a is not None and c.sip_a.shape == (4, 4) for c in solution.chips)
    source = data_file("wfpc2_omegacen/u40x010hm_c0f.fits")
    flags = data_file("wfpc2_omegacen/u40x010hm_c1f.fits")
    with fits.open(source) as old, fits.open(flags) as quality, fits.open(updated_wfpc2) as new:
        for group in range(4):
            assert new["SCI", group + 1].data.tobytes() == old[0].data[group].tobytes()
            np.testing.assert_array_equal(new["DQ", group + 1].data, quality[0].data[group])


@pytest.mark.parametrize("origin", ["hst", "fits"])
def test_narrow_rows_are_corrected_along_y_on_every_chip(updated_wfpc2: Path, origin: LookupOrigin) -> None:
    """Against the residual table itself, and astropy; stwcs lays it along x, on one chip."""
    with gzip.open(data_file("wfpc2_omegacen/s8f1222cu_dxy.fits.gz")) as stream, fits.open(stream) as hdus:
        expected = {number: hdus["DY", number].data[:, 0].copy() for number in (1, 2, 3, 4)}
    x, y = np.random.default_rng(4).uniform(0, 799, (2, 100))
    for chip in primary(updated_wfpc2).chips:
        assert chip.d2im[0] is None
        assert chip.d2im[1] is not None
        np.testing.assert_array_equal(chip.d2im[1].values[:, 0], expected[chip.chip])
        theirs = astropy_wcs(chip, origin).all_pix2world(x, y, 0)
        np.testing.assert_allclose(pixel_to_sky(chip, x, y, origin), theirs, rtol=0, atol=1e-10)


def test_the_wfpc2_solution_is_stwcs_s_but_for_the_rows(
    updated_wfpc2: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from support.wfpc2_files import science_and_flags
    from support.wfpc2_files import update_wcs as theirs_update

    path = science_and_flags(tmp_path)
    theirs_update(path, monkeypatch)
    for ours, theirs in zip(primary(updated_wfpc2).chips, primary(path).chips, strict=True):
        assert (ours.crval, ours.cd, ours.crpix) == (theirs.crval, theirs.cd, theirs.crpix)
        np.testing.assert_array_equal(ours.sip_a, theirs.sip_a)


def test_a_pair_of_stis_images_with_references_by_a_variable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, out = tmp_path / "o4k19a010_flt.fits", tmp_path / "out.fits.gz"
    path.write_bytes(gzip.decompress(data_file("stis_m33/o4k19a010_flt.fits.gz").read_bytes()))
    monkeypatch.setenv("oref", str(data_root() / "stis_m33"))
    done = update_wcs(path, out)
    assert done.references["IDCTAB"].endswith("o8g1508do_idc.fits")
    assert (done.wcsname, done.previous) == ("IDC_o8g1508do", "OPUS")
    first, second = primary(out).chips
    assert first.crval == second.crval
    assert out.read_bytes()[:2] == b"\x1f\x8b"


def test_what_is_missing_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("jref", "iref", "uref", "oref"):
        monkeypatch.delenv(variable, raising=False)
    path = tmp_path / "j94f05bgq_flt.fits.gz"
    shutil.copy(data_file(WFC), path)
    with pytest.raises(
        MissingFileError, match=r"IDCTAB postsm4_idc.fits, NPOLFILE .*, D2IMFILE .*: not found"
    ) as told:
        update_wcs(path, tmp_path / "out.fits")
    assert "--reference-dir" in told.value.remedy
    assert not (tmp_path / "out.fits").exists()


def test_the_command_records_updates_and_undoes(run_hapctl: Runner, tmp_path: Path) -> None:
    path = tmp_path / "data" / "o4k19a010_flt.fits"
    path.parent.mkdir()
    path.write_bytes(gzip.decompress(data_file("stis_m33/o4k19a010_flt.fits.gz").read_bytes()))
    before = hashlib.sha256(path.read_bytes()).hexdigest()
    assert run_hapctl("wcs", "update", path, "--in-place").exit_code == 3
    folder = ("--reference-dir", data_root() / "stis_m33")
    done = run_hapctl("wcs", "update", path, "--in-place", *folder, "--json").json()
    assert done["files"][0]["wcsname"] == primary(path).name == "IDC_o8g1508do"
    assert run_hapctl("undo", done["run"]).exit_code == 0
    assert hashlib.sha256(path.read_bytes()).hexdigest() == before


def test_the_command_makes_extensions_of_a_waiver_file(run_hapctl: Runner, tmp_path: Path) -> None:
    """Here without its flags and its residual table: notes say so."""
    for name in ("u40x010hm_c0f.fits", "sad1946fu_idc.fits", "s9518396u_off.fits"):
        shutil.copy(data_file(f"wfpc2_omegacen/{name}"), tmp_path / name)
    waiver, out = tmp_path / "u40x010hm_c0f.fits", tmp_path / "out"
    done = run_hapctl("wcs", "update", waiver, "--output-dir", out, "--no-catalog", "--json")
    assert done.exit_code == 0, done.stderr
    [row] = done.json()["files"]
    assert (done.json()["run"], row["wcsname"], Path(row["output"]).name) == (
        None, "IDC_sad1946fu", "u40x010hm_flt.fits",
    )  # fmt: skip
    notes = [note.partition(":")[0] for note in row["notes"]]
    assert notes == ["no flags", "DGEOFILE uref$s8f1222cu_dxy.fits not found"]
    assert all(chip.d2im == (None, None) for chip in primary(out / "u40x010hm_flt.fits").chips)
    assert run_hapctl("wcs", "update", waiver, "--in-place").exit_code == 1
    assert run_hapctl("ingest", out).exit_code == 0
    assert "IDC_sad1946fu" in run_hapctl("wcs", "list", "u40x010hm").stdout
