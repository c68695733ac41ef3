"""`hapctl tweakback` as a user meets it."""

import hashlib
import shutil
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS
from hapctl.processing.astrometry.mapping import astropy_wcs, pixel_to_sky
from hapctl.processing.astrometry.reading import read_solutions
from support.commands import run_here
from support.drizzle_visit import write_visit
from support.sky_visit import sky_visit

QUIET = ("--set", "output.residplot=none", "--set", "output.see2dplot=false")
FINAL_ONLY = ("--set", "cosmic_rays.enabled=false", "--set", "static_mask.enabled=false")
TURN, SHIFT = 0.02, (0.7, -0.4)
pytestmark = pytest.mark.usefixtures("clean_environment")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two exposures, and their product with a corrected WCS and the old one under key A."""
    folder = tmp_path_factory.mktemp("visit")
    files = write_visit(folder, 2)
    done = run_here(("drizzle", *files, "-o", folder / "m_drc", "--no-preview", *FINAL_ONLY))
    assert done.exit_code == 0, done.stderr
    product = folder / "m_drc.fits"
    with fits.open(product, mode="update") as hdus:
        header = hdus["SCI"].header
        for name in ("CRPIX1", "CRPIX2", "CRVAL1", "CRVAL2", "CTYPE1", "CTYPE2", "CD1_1", "CD2_2"):
            header[f"{name}A"] = header[name]
        header["CD1_2A"], header["CD2_1A"] = header.get("CD1_2", 0.0), header.get("CD2_1", 0.0)
        header["WCSNAMEA"], header["WCSNAME"] = header.get("WCSNAME", "IDC_first"), "MINE"
        old = WCS(header, key="A")
        c, s = np.cos(np.radians(TURN)), np.sin(np.radians(TURN))
        cd = np.array([[c, -s], [s, c]]) @ old.wcs.cd
        for i in (1, 2):
            header[f"CRVAL{i}"] += SHIFT[i - 1] / 3600
            for j in (1, 2):
                header[f"CD{i}_{j}"] = cd[i - 1, j - 1]
    return folder


@pytest.fixture
def visit(made: Path, tmp_path: Path) -> tuple[Path, list[Path]]:
    """The product and its inputs, to be changed."""
    copies = [Path(shutil.copy(path, tmp_path)) for path in sorted(made.glob("*.fits"))]
    return tmp_path / "m_drc.fits", [path for path in copies if path.name != "m_drc.fits"]


def sums(files: list[Path]) -> list[str]:
    return [hashlib.sha256(path.read_bytes()).hexdigest() for path in files]


def test_inputs_get_the_correction_of_the_product(visit: tuple[Path, list[Path]], tmp_path: Path) -> None:
    product, files = visit
    before = sums(files)
    done = run_here(("tweakback", product, "--output-dir", tmp_path / "new", "--json"))
    assert done.exit_code == 0, done.stderr
    document = done.json()
    assert document["rotation_deg"] == pytest.approx(-TURN, abs=1e-6)
    assert [one["wcsname"] for one in document["inputs"]] == ["MINE", "MINE"]
    assert sums(files) == before
    header = fits.getheader(product, "SCI")
    old, new = WCS(header, key="A"), WCS(header)
    for path in files:
        first, second = (read_solutions(one)[0].solution for one in (path, tmp_path / "new" / path.name))
        assert second.name == "MINE"
        for chip, moved in zip(first.chips, second.chips, strict=True):
            x, y = np.array([0.0, chip.shape[1] - 1.0]), np.array([0.0, chip.shape[0] - 1.0])
            sky = astropy_wcs(chip).all_pix2world(x, y, 0)
            expected = np.array(new.wcs_pix2world(*old.wcs_world2pix(*sky, 0), 0))
            assert np.abs(np.array(pixel_to_sky(moved, x, y)) - expected).max() * 3.6e6 < 0.01
        names = {one.solution.name for one in read_solutions(tmp_path / "new" / path.name)}
        assert first.name in names


def test_in_place_keeps_the_old_wcs_and_a_second_time_is_refused(visit: tuple[Path, list[Path]]) -> None:
    product, files = visit
    old = read_solutions(files[0])[0].solution
    done = run_here(("tweakback", product, *files, "--in-place", "--newname", "BACK"))
    assert done.exit_code == 0, done.stderr
    assert "BACK" in done.stdout
    found = read_solutions(files[0])
    assert found[0].solution.name == "BACK"
    kept = next(one.solution for one in found[1:] if one.solution.name == old.name)
    assert kept.chips[0].crval == old.chips[0].crval
    after = sums(files)
    again = run_here(("tweakback", product, *files, "--in-place", "--newname", "BACK"))
    assert again.exit_code == 1
    assert "has a WCS BACK already" in again.stderr
    assert sums(files) == after


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        ((), 2, "--output-dir"),
        (("--origwcs", "NONE", "--output-dir", "new"), 2, "it has: IDC"),
        (("--wcsname", "NONE", "--output-dir", "new"), 2, "it has: MINE (primary)"),
        (("--origwcs", "A", "--wcsname", "A", "--output-dir", "new"), 1, "are the same"),
        (("--output-dir", "."), 1, "is the input itself"),
        (("nothing.fits", "--output-dir", "new"), 3, "no such file"),
        (("--output-dir", "/proc/new"), 1, "/proc/new can't be made"),
    ],
)
def test_refusals_change_nothing(
    visit: tuple[Path, list[Path]],
    options: tuple[str, ...],
    code: int,
    words: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    product, files = visit
    monkeypatch.chdir(product.parent)
    before = sums([product, *files])
    done = run_here(("tweakback", product, *options))
    assert done.exit_code == code
    assert words in done.stderr
    assert sums([product, *files]) == before


def test_inputs_that_are_not_there_are_named(visit: tuple[Path, list[Path]], tmp_path: Path) -> None:
    product, files = visit
    files[1].unlink()
    done = run_here(("tweakback", product, "--output-dir", tmp_path / "new"))
    assert done.exit_code == 3
    assert files[1].name in done.stderr
    assert not (tmp_path / "new").exists()


def test_a_product_aligned_by_tweak_brings_its_inputs_along(tmp_path: Path) -> None:
    made, relative = sky_visit(tmp_path / "visit"), tmp_path / "relative"
    steps = [
        ("tweak", *made.files, "--updatehdr", "--output-dir", relative, *QUIET),
        ("drizzle", relative / "*_flc.fits", "-o", tmp_path / "m_drc", "--no-preview", *FINAL_ONLY),
        ("tweak", tmp_path / "m_drc.fits", "--refcat", made.extract, "--updatehdr", "--output-dir",
         tmp_path / "product", "--set", "header.wcsname=MINE", *QUIET),
        ("tweakback", tmp_path / "product" / "m_drc.fits", relative / "*_flc.fits", "--output-dir",
         tmp_path / "back"),
    ]  # fmt: skip
    for step in steps:
        done = run_here(step)
        assert done.exit_code == 0, done.stderr
    for path in made.files:
        assert made.error_mas(read_solutions(path)[0].solution) > 100.0
        assert made.error_mas(read_solutions(tmp_path / "back" / path.name)[0].solution) < 3.0
