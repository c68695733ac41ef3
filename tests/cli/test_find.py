"""``hapctl find``: sources of a file, narrowed, saved, drawn; and what it says of wrong uses."""

from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from hapctl.processing.astrometry.catalog_files import read_catalog
from hapctl.processing.astrometry.ds9_regions import read_regions
from hapctl.processing.imaging.image_sources import find_sources
from support.commands import Result, run_apart, run_here
from support.star_files import exposure_of_stars, product_of_stars


@pytest.fixture(scope="module")
def exposure(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("stars") / "jstars01q_flc.fits"
    exposure_of_stars(path)
    return path


def find(*arguments: object) -> Result:
    return run_here(("find", *arguments))


def test_it_tells_how_many_and_the_brightest(exposure: Path) -> None:
    catalog = find_sources(exposure).catalog
    told = find(exposure)
    assert told.exit_code == 0, told.stderr
    for extver, part in catalog.by_chip():
        assert f"SCI,{extver}  {len(part)} found, {len(part)} kept, {part.usable.sum()} fit" in told.stdout
    assert f"The brightest, of {len(catalog)}:" in told.stdout
    before = {path.name for path in exposure.parent.iterdir()}
    assert before == {exposure.name}  # nothing is written that was not asked for


def test_json_says_the_same(exposure: Path) -> None:
    catalog = find_sources(exposure).catalog
    document = find(exposure, "--json", "--stars", "--nbright", 5).json()
    assert document["found"] == len(catalog)
    assert document["kept"] == document["usable"] == 10
    assert [chip["kept"] for chip in document["chips"]] == [5, 5]
    assert document["wcs"] == "IDC_test"
    first, best = document["brightest"][0], catalog.chosen(catalog.usable).brightest(1)
    assert first["x_fits"] == pytest.approx(best.x[0] + 1, abs=1e-3)
    assert first["ra"] == pytest.approx(best.ra[0], abs=1e-8)
    assert first["flags"] == []


def test_files_hold_what_is_kept(exposure: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    done = find(exposure, "--snr", "40:", "--output", "a.ecsv", "--regions", "--plot")
    assert done.exit_code == 0, done.stderr
    kept = find_sources(exposure).catalog.filtered(snr=(40.0, None))
    assert len(read_catalog("a.ecsv")) == len(kept)
    assert len(read_regions("jstars01q_flc_sources.reg")) == len(kept)
    assert Path("jstars01q_flc_sources.png").read_bytes().startswith(b"\x89PNG")
    for line in ("catalog: a.ecsv", "regions: jstars01q_flc_sources.reg", "plot: jstars01q_flc_sources.png"):
        assert line in done.stdout
    again = find(exposure, "--plot")
    assert again.exit_code == 1
    assert "jstars01q_flc_sources.png is there already" in again.stderr
    assert find(exposure, "--chip", 1, "--output", "a.ecsv", "--overwrite").exit_code == 0
    assert set(read_catalog("a.ecsv").extver) == {1}


def test_regions_of_one_chip_and_of_all(exposure: Path, tmp_path: Path) -> None:
    left, sky = tmp_path / "left.reg", tmp_path / "sky.reg"
    left.write_text("physical\nbox(200.5,125.5,200,250,0)\n")  # LTV1 is -100: the left half of the chip
    sky.write_text('fk5;circle(150.0,2.01,3")\n')
    catalog = find_sources(exposure).catalog
    everywhere = find(exposure, "--exclude", left, "--json").json()
    one = find(exposure, "--exclude", f"1:{left}", "--json").json()
    gone = [int(np.count_nonzero(part.x <= 199.5)) for _, part in catalog.by_chip()]
    assert everywhere["kept"] == len(catalog) - sum(gone)
    assert one["kept"] == len(catalog) - gone[0]
    assert find(exposure, "--include", left, "--json").json()["kept"] == sum(gone)
    apart = np.hypot((catalog.ra - 150.0) * np.cos(np.radians(2.01)), catalog.dec - 2.01) * 3600
    assert find(exposure, "--include", sky, "--json").json()["kept"] == np.count_nonzero(apart <= 3)
    nothing = find(exposure, "--exclude", left, "--include", left)
    assert nothing.exit_code == 0
    assert "0 kept" in nothing.stdout


def test_ranges_and_boxes(exposure: Path) -> None:
    catalog = find_sources(exposure).catalog
    document = find(
        exposure, "--sharpness", "0.8:1.2", "--box", "101:200,51:", "--without", "edge", "--json"
    ).json()
    kept = catalog.filtered(sharpness=(0.8, 1.2), box=(100, 50, 199, 1e9), without=2)
    assert document["kept"] == len(kept) > 0


def test_a_trail_is_told(tmp_path: Path) -> None:
    path = tmp_path / "jtrail01q_flt.fits"
    exposure_of_stars(path)
    with fits.open(path, mode="update") as hdus:
        for extver in (1, 2):
            science = hdus["SCI", extver].data
            hdus["SCI", extver].data = sum(np.roll(science, step, axis=1) for step in range(9)) / 9
    told = find(path)
    assert told.exit_code == 0
    assert "the telescope moved" in told.stderr
    assert find(path, "--json").json()["trailed"] is True


def test_a_file_without_a_wcs_is_told(tmp_path: Path) -> None:
    path = tmp_path / "jplain01q_flt.fits"
    exposure_of_stars(path, wcs=False)
    told = find(path, "--regions", tmp_path / "a.reg", "--chip", 1)
    assert told.exit_code == 0
    assert "no usable WCS: pixels only" in told.stderr
    assert "image" in (tmp_path / "a.reg").read_text().splitlines()
    assert find(path, "--json").json()["brightest"][0]["ra"] is None


def test_a_product(tmp_path: Path) -> None:
    path = tmp_path / "stars_drc.fits"
    product_of_stars(path)
    document = find(path, "--json", "--threshold", 20, "--fwhm", 2.2).json()
    assert document["kind"] == "product"
    assert document["threshold"] == 20.0
    assert all(source["snr"] > 20 for source in document["brightest"])


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["none.fits"], 3, "no such file"),
        (["FILE", "--chip", "9"], 2, "has no chip SCI,9"),
        (["FILE", "--snr", "20"], 2, "--snr 20 is no range"),
        (["FILE", "--flux", "a:b"], 2, "is no range"),
        (["FILE", "--without", "colour"], 2, "the flags are saturated"),
        (["FILE", "--max-memory", "1MB"], 5, "MB of memory, 1 MB are allowed"),
        (["FILE", "--exclude", "none.reg"], 3, "none.reg: no such file"),
        (["FILE", "--plot", "a.jpg"], 2, "does not end in .png or .pdf or .svg"),
        (["--plot", "FILE"], 2, "Missing argument 'FILE'"),
        (["FILE", "--output", "/nowhere/at/all/a.ecsv"], 1, "can't be written"),
    ],
)
def test_wrong_uses_are_explained(
    arguments: list[str],
    code: int,
    words: str,
    exposure: Path,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.chdir(tmp_path)
    if "/nowhere" in " ".join(arguments):
        (tmp_path / "file").write_text("")
        arguments = ["FILE", "--output", str(tmp_path / "file" / "a.ecsv")]
    done = find(*[exposure if word == "FILE" else word for word in arguments])
    assert done.exit_code == code, done.stderr
    assert words in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_help_is_fast_and_opens_no_catalog(tmp_path: Path) -> None:
    done = run_apart(("find", "--help"), environment={"HAPCTL_HOME": str(tmp_path / "home")})
    assert done.exit_code == 0
    assert "hapctl find" in done.stdout
    assert not (tmp_path / "home").exists()
