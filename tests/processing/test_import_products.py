"""Products of other pipelines: recognised, read, linked, recalled, and never taken for ours."""

import gzip
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits
from hapctl.archive.database import Catalog
from hapctl.processing.errors import UnusableFileError
from hapctl.processing.imaging.foreign_product import pixels_sha256, read_foreign_product
from support.commands import Runner
from support.data import data_file
from support.foreign_products import Input, write_association
from support.mosaics import active_solution, rows, small_visit, stale_names

VISIT = "jhap01"
NAME = "IDC_hapsim01j"


@pytest.fixture(scope="module")
def field(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return list(small_visit(tmp_path_factory.mktemp("field"), chip_shape=(128, 200)).files)


def plane(shape: tuple[int, int] = (40, 50)) -> fits.Header:
    """Return a north-up plane of pixels of 0.05 arcsec."""
    step = 0.05 / 3600.0
    cards = {"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CRVAL1": 150.1, "CRVAL2": 2.2}
    size = {"CRPIX1": shape[1] / 2, "CRPIX2": shape[0] / 2}
    return fits.Header({**cards, **size, "CD1_1": -step, "CD1_2": 0.0, "CD2_1": 0.0, "CD2_2": step})


INPUTS = [
    Input(f"{root}_flc.fits", root, extver, NAME, 500.0)
    for root in ("jhap01a0q", "jhap01a1q")
    for extver in (1, 2)
]


def association(folder: Path, name: str = "jhap01010_drc.fits", **more: Any) -> Path:
    science = np.random.default_rng(1).normal(size=(40, 50))
    return write_association(folder / name, INPUTS, **{"grid": plane(), "science": science, **more})


@pytest.mark.parametrize(
    ("name", "kind", "visit", "tile", "filter_name"),
    [
        ("jhap01010_drc.fits", "association", None, None, "f606w"),
        ("hst_90001_01_acs_wfc_f606w_jhap01a0_drc.fits", "exposure", VISIT, None, "f606w"),
        ("hst_90001_01_acs_wfc_f606w_jhap01_drc.fits", "filter", VISIT, None, "f606w"),
        ("hst_90001_01_acs_wfc_total_jhap01_drc.fits", "total", VISIT, None, "detection"),
        ("hst_skycell-p1889x07y19_acs_wfc_f606w_all_drc.fits", "layer", None, "skycell-p1889x07y19", "f606w"),
        ("hst_skycell-p1889-ra180d0000-decn26d5000_acs_wfc_f606w_drc.fits", "mosaic", None, None, "f606w"),
    ],
)
@pytest.mark.parametrize("swapped", [False, True])
def test_what_a_file_says_is_read(
    tmp_path: Path, name: str, kind: str, visit: str | None, tile: str | None, filter_name: str, swapped: bool
) -> None:
    found = read_foreign_product(association(tmp_path, name, swapped=swapped))
    assert (found.kind, found.visit, found.tile, found.filter) == (kind, visit, tile, filter_name)
    assert (found.instrument, found.detector, found.grid.shape) == ("ACS", "WFC", (40, 50))
    told = [(one.file_name, one.rootname, one.extver, one.wcsname, one.exposure_time) for one in found.inputs]
    assert told == [(one.file, one.rootname, one.extver, one.wcsname, one.seconds) for one in INPUTS]
    assert found.parameters["drizzle"]["KERN"] == "square"
    assert found.parameters["PROD_VER"] == "DrizzlePac 3.11.0"
    sky = [float(word) for word in found.s_region.removeprefix("POLYGON ICRS ").split()]
    corners = fits.Header.copy(plane())
    from astropy.wcs import WCS

    ra, dec = WCS(corners).all_pix2world([-0.5, 49.5], [-0.5, 39.5], 0)
    np.testing.assert_allclose([sky[0], sky[4]], ra, atol=1e-8)
    np.testing.assert_allclose([sky[1], sky[5]], dec, atol=1e-8)


def test_inputs_without_keywords_come_from_the_table_and_without_it_from_the_keywords(tmp_path: Path) -> None:
    bare = association(tmp_path, table=False)
    assert [one.wcsname for one in read_foreign_product(bare).inputs] == [""] * 4
    assert [one.rootname for one in read_foreign_product(bare).inputs] == [one.rootname for one in INPUTS]
    for swapped in (False, True):
        path = association(tmp_path, f"table{swapped}_drc.fits", swapped=swapped)
        with fits.open(path, mode="update") as hdus:
            del hdus[0].header["D*"]
        found = read_foreign_product(path).inputs
        assert [one.wcsname for one in found] == [NAME] * 4
        assert [one.extver for one in found] == ([None] * 4 if swapped else [1, 2, 1, 2])


def test_a_delivered_layer_is_understood() -> None:
    found = read_foreign_product(data_file("headers/sample_mvm_drc.fits"))
    assert (found.kind, found.tile, found.filter) == ("layer", "skycell-p1749x18y06", "f658n")
    assert len(found.inputs) == 10
    assert found.inputs[5].extver == 2
    assert {one.wcsname for one in found.inputs} == {
        "IDC_2731450pi-GSC240",
        "IDC_2731450pi-FIT_REL_GAIAeDR3",
    }
    assert found.s_region.count("POLYGON") == 2


def test_pixels_have_the_checksum_of_products_made_here(
    run_hapctl: Runner, field: list[Path], catalog: Catalog, tmp_path: Path
) -> None:
    run_hapctl("ingest", *field)
    assert run_hapctl("mosaic", "--visit", VISIT).exit_code == 0
    for path, sha256 in rows(catalog, "SELECT path, pixels_sha256 FROM current_product"):
        assert pixels_sha256(Path(path)) == sha256
    packed = tmp_path / "packed_drc.fits.gz"
    packed.write_bytes(gzip.compress(Path(path).read_bytes(), 1))
    assert pixels_sha256(packed) == sha256
    # those made here are known as such, in this catalog
    result = run_hapctl("ingest", path, "--json").json()["files"][0]
    assert (result["status"], "made here" in result["reason"]) == ("unchanged", True)


def test_several_files_are_one_product(tmp_path: Path) -> None:
    whole = association(tmp_path)
    with fits.open(whole) as hdus:
        science = fits.PrimaryHDU(hdus["SCI"].data, hdus[0].header + hdus["SCI"].header)
        science.writeto(tmp_path / "old_drz_sci.fits")
        fits.PrimaryHDU(hdus["WHT"].data, hdus[0].header).writeto(tmp_path / "old_drz_wht.fits")
    found = read_foreign_product(tmp_path / "old_drz_sci.fits")
    assert found.grid == read_foreign_product(whole).grid
    assert len(found.inputs) == 4
    with pytest.raises(UnusableFileError, match="wht image of a product in several files"):
        read_foreign_product(tmp_path / "old_drz_wht.fits")


def test_imported_products_are_linked_listed_and_never_stale(
    run_hapctl: Runner, field: list[Path], catalog: Catalog, tmp_path: Path
) -> None:
    assert run_hapctl("ingest", *field).exit_code == 0
    name = active_solution(catalog, "jhap01a0q").name
    inputs = [Input(one.file, one.rootname, one.extver, name, one.seconds) for one in INPUTS]
    inputs[-1] = Input("ibzz01abq_flt.fits", "ibzz01abq", 1, "IDC_other", 10.0)
    science = np.ones((40, 50))
    for file_name in ("jhap01010_drc.fits", "hst_90001_01_acs_wfc_total_jhap01_drc.fits"):
        path = write_association(tmp_path / file_name, inputs, grid=plane(), science=science)
        first = run_hapctl("ingest", path, "--json").json()["files"][0]
        assert (first["status"], first["rootname"]) == ("new", None)
        assert "of DrizzlePac 3.11.0" in first["reason"]
        again = run_hapctl("ingest", path, "--json").json()["files"][0]
        assert again["status"] == "unchanged"
    shown = run_hapctl("product", "show", "jhap01010_drc.fits", "--json").json()
    assert (shown["origin"], shown["kind"], shown["policy_id"]) == ("import", "association", None)
    known = [(one["exposure_known"], one["solution_known"]) for one in shown["claimed_inputs"]]
    assert known == [(True, True)] * 3 + [(False, False)]
    listed = run_hapctl("product", "list", "--json").json()["products"]
    assert {row["kind"] for row in listed} == {"association", "total"}
    lineage = run_hapctl("product", "lineage", "jhap01010_drc.fits").stdout.splitlines()
    assert lineage[1] == f"jhap01a0q_flc.fits[sci,2]  {name}, as it claims (in the catalog)"
    assert lineage[3] == "ibzz01abq_flt.fits[sci,1]  IDC_other, as it claims (not in the catalog)"
    graph = run_hapctl("product", "lineage", "jhap01010_drc.fits", "--dot").stdout
    assert graph.count('[label="claims"]') == 4
    assert run_hapctl("mosaic", "--visit", VISIT).exit_code == 0
    assert stale_names(catalog) == set()
    assert run_hapctl("mosaic", "--stale", "--dry-run", "--json").json()["targets"] == []

    science[3, 4] = 7.0
    path.unlink()
    write_association(path, inputs, grid=plane(), science=science)
    changed = run_hapctl("ingest", path, "--json").json()["files"][0]
    assert changed["status"] == "updated"
    refused = run_hapctl("product", "rebuild", path)
    assert refused.exit_code == 1
    assert "made elsewhere" in refused.stderr
    before = path.read_bytes()
    refused = run_hapctl("mosaic", "--visit", VISIT, "--output", tmp_path)
    assert (refused.exit_code, "made by another pipeline" in refused.stderr) == (1, True)
    assert path.read_bytes() == before


def test_a_recall_of_a_solution_reaches_imported_products_and_leaves_their_files(
    run_hapctl: Runner, field: list[Path], catalog: Catalog, tmp_path: Path
) -> None:
    name = "IDC_hapsim01j"
    inputs = [Input(one.file, one.rootname, one.extver, name, one.seconds) for one in INPUTS]
    path = write_association(tmp_path / "jhap01010_drc.fits", inputs, grid=plane(), science=np.ones((40, 50)))
    early = write_association(tmp_path / "early_drc.fits", inputs, grid=plane(), science=np.ones((40, 50)))
    run_hapctl("ingest", early)  # before its exposures are known
    run_hapctl("ingest", path, *field)  # products are taken last
    assert active_solution(catalog, "jhap01a0q").name == name
    known = "SELECT count(*) FROM product_claimed_input WHERE solution_id IS NOT NULL"
    assert rows(catalog, known) == [(4,)]
    arguments = ("product", "recall", "--solution", name, "--exposure", "jhap01a0q", "--reason", "bad")
    assert "jhap01010_drc.fits, in force" in run_hapctl(*arguments).stdout
    assert path.is_file()
    assert rows(catalog, "SELECT FROM current_product") == []
    assert rows(catalog, "SELECT FROM product_awaiting_rebuild") == []
    again = run_hapctl("ingest", path, "--json").json()["files"][0]
    assert (again["status"], "is recalled: recall 1 (bad)" in again["reason"]) == ("unchanged", True)
    assert run_hapctl("product", "recall", "--release", 1, "--reason", "fine").exit_code == 0
    assert len(rows(catalog, "SELECT name FROM current_product")) == 2


def test_what_is_damaged_or_no_product_is_told_in_a_line(run_hapctl: Runner, tmp_path: Path) -> None:
    whole = association(tmp_path)
    cut = tmp_path / "cut_drz.fits"
    cut.write_bytes(whole.read_bytes()[:-4000])
    (tmp_path / "text_drz.fits").write_text("no FITS at all")
    (tmp_path / "empty_drc.fits").write_bytes(b"")
    bare = tmp_path / "bare_drz.fits"
    fits.PrimaryHDU(header=fits.Header({"NDRIZIM": 2, "TELESCOP": "HST"})).writeto(bare)
    plate = association(tmp_path, "plate_drz.fits", grid=fits.Header({**dict(plane()), "CTYPE1": "GLON-CAR"}))
    files = [cut, tmp_path / "text_drz.fits", tmp_path / "empty_drc.fits", bare, plate]
    done = run_hapctl("ingest", *files, "--json")
    assert done.exit_code == 1
    found = {Path(file["path"]).name: (file["status"], file["reason"]) for file in done.json()["files"]}
    assert {status for status, _ in found.values()} == {"rejected"}
    words = {"cut": "truncated", "text": "FITS", "empty": "empty", "bare": "no science", "plate": "tangent"}
    for stem, word in words.items():
        reason = next(reason for name, (_, reason) in found.items() if name.startswith(stem))
        assert word in reason
        assert "\n" not in reason
