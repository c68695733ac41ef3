"""Solutions written into files: exact, complete, read by stwcs; pixels, other cards and undo to the byte."""

import errno
import gzip
import hashlib
import io
import logging
import os
import warnings
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.wcs import WCS
from hapctl.processing.astrometry.content_hash import transformation_sha256
from hapctl.processing.astrometry.fits_editing import editing, rebuilt
from hapctl.processing.astrometry.headerlet import headerlet_bytes, read_headerlet
from hapctl.processing.astrometry.mapping import pixel_to_sky
from hapctl.processing.astrometry.plane import PlaneFit, TangentPlane, moved_solution, sky_matrix
from hapctl.processing.astrometry.reading import read_solutions
from hapctl.processing.astrometry.solution import LookupOrigin, WcsSolution
from hapctl.processing.astrometry.wcs_writing import Applied, apply_solution, solution_in_file
from hapctl.processing.errors import RefusedError, TooLargeError, UsageProblemError
from hypothesis import given, settings
from hypothesis import strategies as st
from support.data import data_file
from support.exposure_files import exposure_file, two_chip_solution

ROOT = "jtest0001"
FIT = "IDC_0461802ej-FIT_SVM_GAIADR3"
DATE = "2026-01-02T03:04:05"


def moved(
    solution: WcsSolution, name: str = FIT, roll: float = 0.01, **keywords: str | float | int
) -> WcsSolution:
    fit = PlaneFit.similarity(np.array([0.25, -0.1]), roll, 1.00002)
    better = moved_solution(solution, sky_matrix(fit, TangentPlane(*solution.chips[0].crval)))
    return replace(better, name=name, keywords={**better.keywords, **keywords})


def with_companions(content: bytes) -> bytes:
    """A made file with ERR and DQ, aperture cards, checksums and an odd card."""
    with fits.open(io.BytesIO(content)) as hdus:
        new = fits.HDUList([hdus[0].copy()])
        new[0].header["PA_V3"] = 30.0
        for hdu in hdus[1:]:
            new.append(hdu.copy())
            if hdu.name != "SCI":
                continue
            science = new[-1].header
            science.update({"PA_APER": 33.0, "RA_APER": 150.01, "DEC_APER": 2.21, "ORIENTAT": 33.0})
            linear = {key: science[key] for key in science if key.startswith(("CR", "CD")) and len(key) < 7}
            for name, kind in (("ERR", np.float32), ("DQ", np.int16)):
                data = np.random.default_rng(hdu.ver).integers(0, 9, hdu.shape).astype(kind)
                header = fits.Header({"EXTNAME": name, "EXTVER": hdu.ver, "PA_APER": 33.0, **linear})
                new.append(fits.ImageHDU(data, header))
        new[0].header["NEXTEND"] = len(new) - 1
        stream = io.BytesIO()
        new.writeto(stream, checksum=True)
    return stream.getvalue()


@pytest.fixture
def science(tmp_path: Path) -> Path:
    path = tmp_path / f"{ROOT}_flc.fits"
    path.write_bytes(with_companions(exposure_file(two_chip_solution(ROOT))))
    return path


def data_sums(path: Path) -> dict[tuple[str, int], str]:
    """SHA-256 of the bytes of all images as they lie in the file."""
    with editing(path) as edited:
        parts = [part for part in edited.parts if part.name in ("SCI", "ERR", "DQ")]
        return {(p.name, p.version): hashlib.sha256(edited.data_of(p)).hexdigest() for p in parts}


def test_everything_goes_along_and_nothing_else(science: Path, tmp_path: Path) -> None:
    old = read_solutions(science)[0].solution
    new = moved(old, RMS_RA=3.6, RMS_DEC=7.2, NMATCHES=44, FITGEOM="rscale")
    out = tmp_path / "out.fits"
    done = apply_solution(science, out, new, date=DATE)
    assert (done.archived_key, done.headerlets, done.distortion_replaced) == ("A", 1, False)
    assert transformation_sha256(read_solutions(out)[0].solution) == transformation_sha256(new)
    assert data_sums(out) == data_sums(science)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with fits.open(out, checksum=True) as hdus, fits.open(science) as before:
            hdus.verify("exception")
            for chip in new.chips:
                header = hdus["SCI", chip.extver].header
                angle = np.degrees(np.arctan2(chip.cd[1], chip.cd[3]))
                assert header["ORIENTAT"] == pytest.approx(angle, abs=1e-12)
                assert (header["CRDER1"], header["CRDER2"]) == (1e-6, 2e-6)
                assert (header["WCSNAME"], header["NMATCHES"]) == (FIT, 44)
                assert header["HDRNAME"] == f"{ROOT}_flc_{FIT}-hlet.fits"
                assert header["WCSTYPE"] == "undistorted a posteriori solution aligned by visit to GAIADR3"
                _check_region(header, chip)
                for name in ("ERR", "DQ"):
                    other = hdus[name, chip.extver].header
                    assert (other["CRVAL1"], other["CD1_2"]) == (chip.crval[0], chip.cd[1])
                    assert (other["CTYPE1"], other["WCSNAME"]) == ("RA---TAN", FIT)
                assert header["BUNIT"] == before["SCI", chip.extver].header["BUNIT"]
                for key, wcs_header in (("", header), ("A", header), ("", hdus["DQ", chip.extver].header)):
                    axes = wcs_header.index(f"WCSAXES{key}")
                    assert axes < min(
                        wcs_header.index(f"{name}{key}") for name in ("CRPIX1", "CD2_2", "CTYPE1")
                    )
            assert hdus[0].header["PA_V3"] == 30.0
            assert hdus[0].header["DATE"] == DATE
            assert hdus[0].header["NEXTEND"] == len(hdus) - 1


def _check_region(header: fits.Header, chip: object) -> None:
    words = header["S_REGION"].split()
    corners = np.array(words[2:], dtype=float).reshape(4, 2)
    ny, nx = chip.shape  # type: ignore[attr-defined]
    expected = np.column_stack(pixel_to_sky(chip, np.array([-0.5, nx - 0.5]), np.array([-0.5, ny - 0.5])))  # type: ignore[arg-type]
    assert all(np.abs(corners - corner).max(axis=1).min() < 1e-9 for corner in expected)


def test_the_aperture_moves_rigidly_with_the_chips(science: Path, tmp_path: Path) -> None:
    """Its position and its angle stay where they were with respect to the stars of the detector."""
    old = read_solutions(science)[0].solution
    new = moved(old, roll=5.0)
    out, back = tmp_path / "out.fits", tmp_path / "back.fits"
    apply_solution(science, out, new)
    headers = [fits.getheader(path, ("SCI", 1)) for path in (science, out)]
    places = [SkyCoord(h["RA_APER"], h["DEC_APER"], unit="deg") for h in headers]
    ends = [SkyCoord(*s.chips[0].crval, unit="deg") for s in (old, new)]
    assert places[0].separation(ends[0]).arcsec == pytest.approx(
        places[1].separation(ends[1]).arcsec / 1.00002, rel=1e-7
    )
    turned = [h["PA_APER"] - p.position_angle(e).deg for h, p, e in zip(headers, places, ends, strict=True)]
    assert turned[0] == pytest.approx(turned[1], abs=1e-6)
    assert headers[1]["APERWCS"] == FIT
    apply_solution(out, back, solution_in_file(out, "key A"))
    header = fits.getheader(back, ("SCI", 1))
    for keyword in ("RA_APER", "DEC_APER", "PA_APER"):
        assert header[keyword] == pytest.approx(headers[0][keyword], abs=1e-9)


def test_the_archive_never_moved_the_aperture(tmp_path: Path) -> None:
    """In a real file it belongs to the pointing, whatever its primary WCS is."""
    path, out = data_file("headers/sample_svm_flt.fits"), tmp_path / "out.fits"
    done = apply_solution(path, out, solution_in_file(path, "HDRLET 3"))
    before, after = (fits.getheader(p, ("SCI", 1)) for p in (path, out))
    found = {e.solution.name: e.solution for e in read_solutions(path)}
    shift = [
        a - b
        for a, b in zip(
            found["IDC_w3m18525i-GSC240"].chips[0].crval, found["IDC_w3m18525i"].chips[0].crval, strict=True
        )
    ]
    assert after["DEC_APER"] - before["DEC_APER"] == pytest.approx(shift[1], abs=1e-7)
    assert after["RA_APER"] - before["RA_APER"] == pytest.approx(shift[0], abs=1e-5)
    assert done.previous == "IDC_w3m18525i-FIT_SVM_GAIAeDR3"


REAL = ("sample_ipppssoot_flt", "sample_ipppssoot_flc", "sample_svm_flt", "sample_svm_flc")


def real_headerlets() -> Iterator[tuple[Path, WcsSolution]]:
    for name in REAL:
        path = data_file(f"headers/{name}.fits")
        for entry in read_solutions(path):
            if entry.headerlet_bytes is not None:
                yield path, entry.solution


def test_the_37_real_headerlets_make_the_round_trip(tmp_path: Path) -> None:
    """Written as headerlet by us, and applied to their file: the same positions to 1e-10 degree."""
    count = refused = 0
    for path, solution in real_headerlets():
        count += 1
        shape = (2051, 4096) if len(solution.chips) == 2 else (1014, 1014)
        whole = replace(solution, chips=tuple(replace(chip, shape=shape) for chip in solution.chips))
        _check_same(whole, read_headerlet(headerlet_bytes(whole)))
        if solution.problem:
            refused += 1
            with pytest.raises(RefusedError, match="inconsistent"):
                apply_solution(path, tmp_path / "out.fits", solution)
            continue
        apply_solution(path, tmp_path / "out.fits", solution, force=True)
        _check_same(whole, read_solutions(tmp_path / "out.fits")[0].solution)
    assert (count, refused) == (37, 3)


def _check_same(first: WcsSolution, second: WcsSolution) -> None:
    """Corners and centre of the first one's chips, wherever tables begin."""
    for one, other in zip(first.chips, second.chips, strict=True):
        ny, nx = one.shape
        x, y = np.array([0, nx - 1, 0, nx - 1, nx / 2]), np.array([0, 0, ny - 1, ny - 1, ny / 2])
        origins: tuple[LookupOrigin, ...] = ("hst", "fits")
        for origin in origins:
            here, there = pixel_to_sky(one, x, y, origin), pixel_to_sky(other, x, y, origin)
            np.testing.assert_allclose(here, there, rtol=0, atol=1e-10)


def test_stwcs_reads_what_we_write(science: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from stwcs.wcsutil import HSTWCS, altwcs, headerlet

    monkeypatch.chdir(tmp_path)  # stwcs writes headerlet.log where it stands
    logging.getLogger("headerlet").setLevel(logging.CRITICAL)
    old = read_solutions(science)[0].solution
    new = moved(old, RMS_RA=3.6, RMS_DEC=7.2, NMATCHES=44)
    out = tmp_path / "out_flc.fits"
    apply_solution(science, out, new, attach=True)
    x, y = np.random.default_rng(2).uniform(0, 200, (2, 50))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with fits.open(out) as hdus:
            for chip in new.chips:
                theirs = HSTWCS(hdus, ("SCI", chip.extver))
                np.testing.assert_allclose(
                    theirs.all_pix2world(x, y, 0), pixel_to_sky(chip, x, y, "fits"), rtol=0, atol=1e-10
                )
            assert altwcs.wcsnames(hdus, ("SCI", 1)) == {" ": FIT, "A": "IDC_0461802ej", "O": "OPUS"}
            names = headerlet.get_headerlet_kw_names(str(out), kw="WCSNAME")
            assert names == ["IDC_0461802ej", FIT]
            attached = hdus["HDRLET", 1].headerlet
            assert attached[("SIPWCS", 1)].header["CRVAL1"] == old.chips[0].crval[0]
        headerlet.restore_from_headerlet(str(out), hdrext=("HDRLET", 1), archive=False, force=True)
    back = read_solutions(out)[0].solution
    assert back.name == "IDC_0461802ej"
    for one, other in zip(back.chips, old.chips, strict=True):
        np.testing.assert_allclose(one.crval, other.crval, rtol=0, atol=1e-11)


def test_alternates_fill_the_letters_and_the_same_is_kept_once(tmp_path: Path) -> None:
    path = tmp_path / f"{ROOT}_flc.fits"
    path.write_bytes(exposure_file(two_chip_solution(ROOT, tables=False, binning=64)))
    base = read_solutions(path)[0].solution
    for number, letter in enumerate("ABCDEFGHIJKLMNPQRSTUVWXY"):
        new = moved(base, name="TWEAK", roll=0.001 * (number + 1))
        done = apply_solution(path, tmp_path / f"{number}.fits", new)
        path = done.path
        assert done.archived_key == letter
    header = fits.getheader(path, ("SCI", 1))
    assert [header[f"WCSNAME{key}"] for key in "BCO"] == ["TWEAK", "TWEAK_001", "OPUS"]
    steps = [
        *(
            (base, "Z"),
            (moved(base, name="TWEAK", roll=0.001), ""),
            (moved(base, name="TWEAK", roll=0.002), ""),
        ),
        (moved(base, name="LAST"), ""),
    ]
    for number, (solution, key) in enumerate(steps):
        done = apply_solution(path, tmp_path / f"more{number}.fits", solution)
        path = done.path
        assert done.archived_key == key, solution.name
    with pytest.raises(RefusedError, match="no letter is left"):
        apply_solution(path, tmp_path / "refused.fits", base)


LETTERS = st.text("ABCDEFGHIJKLMNOPQRSTUVWXYZ_-'0123456789", min_size=69, max_size=150)


@settings(max_examples=25, deadline=None)
@given(LETTERS)
def test_names_longer_than_a_card_come_back(name: str) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        path, out = Path(folder) / f"{ROOT}_flc.fits", Path(folder) / "out.fits"
        path.write_bytes(exposure_file(two_chip_solution(ROOT, tables=False)))
        new = moved(read_solutions(path)[0].solution, name=name)
        apply_solution(path, out, new, attach=True)
        found = read_solutions(out)
        assert [e.solution.name for e in found if str(e.location) in ("primary", "HDRLET 2")] == [name, name]
        assert fits.getheader(out, ("SCI", 2))["WCSNAME"] == name


def test_another_distortion_model_is_refused_and_forced(science: Path, tmp_path: Path) -> None:
    old = read_solutions(science)[0].solution
    chips = tuple(
        replace(c, sip_a=2.0 * c.sip_a, npol=(None, None)) for c in old.chips if c.sip_a is not None
    )
    keywords = {"IDCTAB": "jref$newer123_idc.fits"}
    other = replace(old, name="IDC_newer123", chips=chips, keywords=keywords)
    out = tmp_path / "out.fits"
    with pytest.raises(RefusedError, match=r"newer123.* the file 0461802ej"):
        apply_solution(science, out, other)
    assert not out.exists()
    first = apply_solution(science, tmp_path / "first.fits", moved(old))
    done = apply_solution(first.path, out, other, force=True)
    assert done.distortion_replaced
    found = {str(e.location): e.solution for e in read_solutions(out)}
    assert transformation_sha256(found["primary"]) == transformation_sha256(other)
    assert sorted(found) == ["HDRLET 1", "HDRLET 2", "key O", "primary"]
    assert transformation_sha256(found["HDRLET 1"]) == transformation_sha256(old)
    with fits.open(out) as hdus:
        assert hdus[0].header["IDCTAB"] == "jref$newer123_idc.fits"
        assert [hdu.name for hdu in hdus].count("WCSDVARR") == 0
        theirs = WCS(hdus["SCI", 1].header, hdus).all_pix2world(10.0, 20.0, 0)
    np.testing.assert_allclose(pixel_to_sky(other.chips[0], 10.0, 20.0, "fits"), theirs, atol=1e-10)


def test_wcscorr_is_kept_and_grows(tmp_path: Path) -> None:
    path, out = data_file("headers/sample_svm_flc.fits"), tmp_path / "out.fits"
    new = solution_in_file(path, "HDRLET 3")
    apply_solution(path, out, new)
    again = apply_solution(out, tmp_path / "again.fits", new)
    assert not again.changed
    with fits.open(path) as before, fits.open(again.path) as after:
        old, rows = before["WCSCORR"].data, after["WCSCORR"].data
        assert len(rows) == len(old)
        assert rows[:8].tolist() == old[:8].tolist()
        assert list(rows["WCS_ID"][8:10]) == ["IDC_2731450pi-GSC240"] * 2
        assert list(rows["EXTVER"][8:11]) == [1, 2, 0]
        np.testing.assert_array_equal(rows["CRVAL1"][8:10], [chip.crval[0] for chip in new.chips])
        assert after["WCSCORR"].header["TROWS"] == 10


@pytest.mark.parametrize(
    "name",
    ["headers/sample_svm_flc.fits", "wfc3ir_goodss/ib6o21qnq_flt.fits.gz", "hrc_47tuc/j8bt06nyq_flt.fits"],
)
def test_real_files_come_back_to_the_byte(name: str, tmp_path: Path) -> None:
    path = data_file(name)
    before = path.read_bytes()
    before = gzip.decompress(before) if name.endswith("gz") else before
    old = read_solutions(path)[0].solution
    out = tmp_path / Path(name).name
    done = apply_solution(path, out, moved(old, name="TWEAK"), attach=True)
    assert data_sums(out) == data_sums(path)
    assert len(done.record) < 40_000
    assert done.before_sha256 == hashlib.sha256(before).hexdigest()
    rebuilt(out, done.record, done.before_sha256, done.after_sha256)
    after = gzip.decompress(out.read_bytes()) if name.endswith("gz") else out.read_bytes()
    assert after == before


def test_a_full_disk_loses_nothing(science: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = science.read_bytes()
    told: list[Applied] = []

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    new = moved(read_solutions(science)[0].solution)
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(TooLargeError, match="No space left"):
            apply_solution(science, science, new, on_written=told.append)
    assert science.read_bytes() == before
    assert os.listdir(science.parent) == [science.name]
    assert told[0].before_sha256 == hashlib.sha256(before).hexdigest()
    assert apply_solution(science, science, new).changed


def test_a_link_stays_a_link_and_rights_stay(science: Path, tmp_path: Path) -> None:
    link = tmp_path / "elsewhere" / science.name
    link.parent.mkdir()
    link.symlink_to(science)
    science.chmod(0o640)
    apply_solution(link, link, moved(read_solutions(science)[0].solution))
    assert link.is_symlink()
    assert read_solutions(science)[0].solution.name == FIT
    assert science.stat().st_mode & 0o777 == 0o640


def test_a_file_without_science_extensions_is_refused(tmp_path: Path) -> None:
    path = data_file("wfpc2_omegacen/u40x010hm_c0f.fits")
    with pytest.raises(RefusedError, match="no SCI extension") as told:
        apply_solution(path, tmp_path / "out.fits", read_solutions(path)[0].solution)
    assert "hapctl wcs update" in told.value.remedy


def test_the_solution_of_a_file_by_name_or_place(science: Path) -> None:
    assert solution_in_file(science).name == "IDC_0461802ej"
    assert solution_in_file(science, "key O").name == solution_in_file(science, "opus").name == "OPUS"
    with pytest.raises(UsageProblemError, match="no solution TWEAK"):
        solution_in_file(science, "TWEAK")
    mixed = data_file("headers/sample_svm_flc.fits")
    with pytest.raises(UsageProblemError, match="several solutions"):
        solution_in_file(mixed, "IDC_2731450pi-FIT_SVM_GAIAeDR3")


def test_a_solution_without_all_chips_is_refused(science: Path, tmp_path: Path) -> None:
    solution = moved(read_solutions(science)[0].solution)
    with pytest.raises(RefusedError, match="SCI extensions 1, 2"):
        apply_solution(science, tmp_path / "out.fits", replace(solution, chips=solution.chips[:1]))
