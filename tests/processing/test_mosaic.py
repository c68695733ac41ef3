"""The products of visits and tiles on a small simulated field: what is made, left alone, refused, stale."""

import dataclasses
import errno
import os
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from hapctl.archive.database import Catalog
from hapctl.processing.imaging.drizzle import Band
from hapctl.processing.imaging.mask_file import ChipMasks, read_mask
from hapctl.processing.imaging.memory_plan import MemoryPlan
from hapctl.processing.imaging.parameters import DrizzleParameters
from hapctl.processing.imaging.plane_store import new_masks
from hapctl.processing.imaging.product_bands import product_bands
from hapctl.processing.imaging.stopwatch import PROFILE_STEPS
from scipy import ndimage
from support.commands import Runner
from support.mosaics import realign, rows, small_visit, stale_names

VISIT_PRODUCTS = {
    "hst_90001_01_acs_wfc_f606w_jhap01a0_drc.fits": "exposure",
    "hst_90001_01_acs_wfc_f606w_jhap01a1_drc.fits": "exposure",
    "hst_90001_01_acs_wfc_f606w_jhap01_drc.fits": "filter",
    "hst_90001_01_acs_wfc_total_jhap01_drc.fits": "total",
}
FILTER = "hst_90001_01_acs_wfc_f606w_jhap01_drc.fits"

_REINSTATE = """UPDATE exposure_withdrawal
    SET during = tstzrange(lower(during), clock_timestamp()), closed_run_id = (SELECT max(run_id) FROM run)
    RETURNING exposure_id"""


@pytest.fixture(scope="module")
def field(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two visits of one place: jhap01 with two exposures of F606W, jhap02 with one of F606W and F814W."""
    first = small_visit(tmp_path_factory.mktemp("first"))
    second = small_visit(
        tmp_path_factory.mktemp("second"), visit="jhap02", filters=("F606W", "F814W"), exposures=1
    )
    return [*first.files, *second.files]


@pytest.fixture
def ingested(field: list[Path], run_hapctl: Runner) -> Runner:
    result = run_hapctl("ingest", *field)
    assert result.exit_code == 0, result.stderr
    return run_hapctl


def mosaic(run: Runner, *arguments: object) -> dict[str, dict]:  # type: ignore[type-arg]
    result = run("mosaic", *arguments, "--json")
    assert result.exit_code == 0, result.stderr
    return {product["name"]: product for product in result.json()["products"]}


def tile_of(catalog: Catalog) -> str:
    return str(rows(catalog, "SELECT name FROM sky_cell ORDER BY 1 LIMIT 1")[0][0])


def test_a_visit_makes_its_products_once(ingested: Runner, catalog: Catalog, hapctl_home: Path) -> None:
    made = mosaic(ingested, "--visit", "jhap01")
    assert {name: one["kind"] for name, one in made.items()} == VISIT_PRODUCTS
    assert {one["status"] for one in made.values()} == {"made"}
    for one in made.values():
        assert Path(one["preview"]).is_file()
        with fits.open(one["path"], checksum=True) as hdus:
            assert hdus["SCI"].shape == (one["ny"], one["nx"])
            assert np.isfinite(hdus["SCI"].data[hdus["WHT"].data > 0]).all()
    assert len({(one["nx"], one["ny"]) for one in made.values()}) == 1  # one grid for the detector
    assert stale_names(catalog) == set()
    before = {path: path.stat().st_mtime_ns for path in hapctl_home.rglob("*") if path.is_file()}
    again = mosaic(ingested, "--visit", "JHAP01")
    assert {one["status"] for one in again.values()} == {"unchanged"}
    assert {name: one["pixels_sha256"] for name, one in again.items()} == {
        name: one["pixels_sha256"] for name, one in made.items()
    }
    assert {path: path.stat().st_mtime_ns for path in hapctl_home.rglob("*") if path.is_file()} == before
    edges = rows(
        catalog,
        "SELECT kind, count(*), count(mask_id) FROM product_input JOIN product USING (product_id) GROUP BY 1",
    )
    assert sorted(edges) == [("exposure", 2, 0), ("filter", 2, 2), ("total", 2, 2)]


def test_masks_are_made_once_and_used_by_the_tile(ingested: Runner, catalog: Catalog) -> None:
    mosaic(ingested, "--visit", "jhap01")
    masks = rows(catalog, "SELECT mask_id, sha256 FROM exposure_mask ORDER BY 1")
    assert len(masks) == 2
    layers = mosaic(ingested, "--tile", tile_of(catalog), "--wcs-policy", "any")
    assert rows(catalog, "SELECT mask_id, sha256 FROM exposure_mask ORDER BY 1") == masks
    assert {one["filter"] for one in layers.values()} == {"f606w", "f814w"}
    used = rows(
        catalog,
        "SELECT e.rootname, i.mask_id IS NOT NULL FROM product p JOIN product_input i USING (product_id)"
        " JOIN exposure e USING (exposure_id) WHERE p.kind = 'layer' AND p.filter = 'f606w' ORDER BY 1",
    )
    assert used == [("jhap01a0q", True), ("jhap01a1q", True), ("jhap02a0q", False)]


def test_a_tile_makes_missing_masks_first(ingested: Runner, catalog: Catalog) -> None:
    planned = ingested(
        "mosaic", "--tile", tile_of(catalog), "--wcs-policy", "any", "--dry-run", "--json"
    ).json()
    assert planned["masks_to_make"] == ["jhap01a0q", "jhap01a1q"]
    mosaic(ingested, "--tile", tile_of(catalog), "--wcs-policy", "any")
    assert rows(catalog, "SELECT count(*) FROM exposure_mask_current WHERE upper_inf(during)") == [(2,)]
    assert stale_names(catalog) == set()


def test_a_layer_lies_on_the_grid_of_its_tile(ingested: Runner, catalog: Catalog) -> None:
    from hapctl.archive.sky_cells import sky_cell

    tile = tile_of(catalog)
    for one in mosaic(ingested, "--tile", tile, "--wcs-policy", "any").values():
        header = fits.getheader(one["path"], "SCI")
        cell = sky_cell(tile)
        assert (header["CRVAL1"], header["CRVAL2"]) == cell.crval
        offsets = np.array(cell.crpix) - (header["CRPIX1"], header["CRPIX2"])
        assert np.array_equal(offsets, np.rint(offsets))  # the same pixels
        assert (offsets >= 0).all()
        assert offsets[0] + header["NAXIS1"] <= 21954
        assert header["CD2_2"] == pytest.approx(cell.cd[3], rel=1e-12)


def test_strict_refuses_to_mix_frames_and_says_which(
    ingested: Runner, catalog: Catalog, hapctl_home: Path
) -> None:
    tile = tile_of(catalog)
    refused = ingested("mosaic", "--tile", tile, "--json")
    assert refused.exit_code == 1
    message = refused.json()["error"]["message"]
    for word in (tile, "2 frames", "visit jhap01", "jhap01a0q", "visit jhap02", "jhap02a1q"):
        assert word in message
    assert "--wcs-policy" in refused.json()["error"]["remedy"]
    assert rows(catalog, "SELECT count(*) FROM product") == [(0,)]
    assert list(hapctl_home.rglob("*.fits")) == []
    outcome = rows(catalog, "SELECT outcome FROM run_status WHERE command = 'mosaic'")
    assert outcome == [("refused",)]
    made = mosaic(ingested, "--tile", tile, "--wcs-policy", "any")
    layer = next(one for one in made.values() if one["filter"] == "f606w")
    primary = fits.getheader(layer["path"])
    assert primary["WCSPOLCY"] == "any"
    assert "jhap01" in primary["WCSFRAME"]
    assert "jhap02" in primary["WCSFRAME"]


def test_absolute_leaves_out_and_records(ingested: Runner, catalog: Catalog) -> None:
    tile = tile_of(catalog)
    assert ingested("mosaic", "--tile", tile, "--wcs-policy", "absolute").exit_code == 65
    realign(catalog, {"jhap01a0q": 0.0, "jhap01a1q": 0.0})
    made = mosaic(ingested, "--tile", tile, "--wcs-policy", "absolute")
    (layer,) = made.values()
    assert layer["exposures"] == ["jhap01a0q", "jhap01a1q"]
    assert [one["code"] for one in layer["left_out"]] == ["not-absolute"]
    recorded = rows(catalog, "SELECT rootname, code FROM product_exclusion JOIN exposure USING (exposure_id)")
    assert recorded == [("jhap02a0q", "not-absolute")]
    assert stale_names(catalog) == set()
    realign(catalog, {"jhap02a0q": 0.0})
    assert stale_names(catalog) == {layer["name"]}  # what was left out would go in now


def test_strict_refuses_two_distortion_models(ingested: Runner, catalog: Catalog) -> None:
    realign(catalog, {"jhap01a0q": 0.0}, "IDC_hapsim01j-FIT_SVM_GAIADR3")
    realign(catalog, {"jhap01a1q": 0.0}, "IDC_older01j-FIT_SVM_GAIADR3")
    refused = ingested("mosaic", "--visit", "jhap01", "--json")
    assert refused.exit_code == 1
    assert "hapsim01j (jhap01a0q); older01j (jhap01a1q)" in refused.json()["error"]["message"]


def test_a_new_alignment_makes_its_products_stale_and_no_others(ingested: Runner, catalog: Catalog) -> None:
    first = mosaic(ingested, "--visit", "jhap01")
    mosaic(ingested, "--visit", "jhap02")
    layers = mosaic(ingested, "--tile", tile_of(catalog), "--wcs-policy", "any")
    assert stale_names(catalog) == set()
    realign(catalog, {"jhap01a0q": 500.0, "jhap01a1q": 500.0})
    mixed = {name for name, one in layers.items() if one["filter"] == "f606w"}
    assert stale_names(catalog) == set(first) | mixed
    why = mosaic(ingested, "--visit", "jhap01")
    assert {one["status"] for one in why.values()} == {"made"}
    assert any("another WCS solution is in force" in text for text in why[FILTER]["why"])
    assert stale_names(catalog) == mixed
    mosaic(ingested, "--tile", tile_of(catalog), "--wcs-policy", "any")
    assert stale_names(catalog) == set()
    old, new = (one["pixels_sha256"] for one in (first[FILTER], why[FILTER]))
    assert old != new
    history = rows(catalog, "SELECT count(*) FROM product WHERE name = :name", name=FILTER)
    assert history == [(2,)]  # nothing is lost


def test_products_of_withdrawn_exposures_are_retired_and_come_back(
    ingested: Runner, catalog: Catalog
) -> None:
    mosaic(ingested, "--visit", "jhap01")
    assert ingested("exposure", "withdraw", "jhap01a1q", "bad guiding").exit_code == 0
    assert stale_names(catalog) == set(VISIT_PRODUCTS)
    made = mosaic(ingested, "--visit", "jhap01")
    assert made[FILTER]["exposures"] == ["jhap01a0q"]
    assert made[FILTER]["left_out"] == [{"code": "withdrawn", "reason": "withdrawn: bad guiding"}]
    assert rows(catalog, "SELECT rootname, mask_id FROM eligible_exposure WHERE visit = 'jhap01'") == [
        ("jhap01a0q", None)  # nothing is left to compare it with
    ]
    gone = "hst_90001_01_acs_wfc_f606w_jhap01a1_drc.fits"
    assert made[gone]["status"] == "retired"
    assert "jhap01a1q: no longer to be mosaicked" in made[gone]["why"]
    assert Path(made[gone]["path"]).is_file()
    assert stale_names(catalog) == set()
    assert gone not in mosaic(ingested, "--visit", "jhap01")  # once is enough
    assert rows(catalog, _REINSTATE)
    back = mosaic(ingested, "--visit", "jhap01")
    assert {name for name, one in back.items() if one["status"] == "made"} == set(VISIT_PRODUCTS)
    assert stale_names(catalog) == set()


def test_a_visit_and_a_tile_that_lost_all_exposures_retire_their_products(
    ingested: Runner, catalog: Catalog, tmp_path: Path
) -> None:
    tile = tile_of(catalog)
    mosaic(ingested, "--visit", "jhap02")
    mosaic(ingested, "--visit", "jhap02", "--output", tmp_path / "elsewhere")
    layers = mosaic(ingested, "--tile", tile, "--wcs-policy", "any")
    for rootname in ("jhap02a0q", "jhap02a1q"):
        assert ingested("exposure", "withdraw", rootname, "moon").exit_code == 0
    plan = ingested("mosaic", "--visit", "jhap02", "--dry-run")
    assert plan.stdout.count("to retire") == 5
    assert len(stale_names(catalog)) == 5 + len(layers)
    gone = mosaic(ingested, "--visit", "jhap02")
    assert [one["status"] for one in gone.values()] == ["retired"] * 5
    assert ingested("mosaic", "--visit", "jhap02").exit_code == 65
    remade = mosaic(ingested, "--tile", tile, "--wcs-policy", "any")
    assert {one["filter"]: one["status"] for one in remade.values()} == {"f606w": "made", "f814w": "retired"}
    # products in another folder are for a run there
    assert len(rows(catalog, "SELECT name FROM stale_product")) == 5
    assert len(mosaic(ingested, "--visit", "jhap02", "--output", tmp_path / "elsewhere")) == 5
    assert stale_names(catalog) == set()
    outcomes = rows(catalog, "SELECT outcome FROM run_status WHERE command = 'mosaic' ORDER BY run_id")
    assert [outcome for (outcome,) in outcomes][3:] == ["done", "failed", "done", "done"]


def test_no_viable_data(ingested: Runner) -> None:
    for rootname in ("jhap01a0q", "jhap01a1q"):
        assert ingested("exposure", "withdraw", rootname, "moon").exit_code == 0
    result = ingested("mosaic", "--visit", "jhap01", "--json")
    assert result.exit_code == 65
    assert "moon" in result.json()["error"]["message"]


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("--visit", "jzzz99"), 3),
        (("--tile", "skycell-p9999x01y01"), 3),
        (("--tile", "skycell-p0001x02y02"), 65),
        (("--visit", "jhap01", "--output", f"{__file__}/folder"), 2),
        (("--visit", "jhap01", "--output", "/proc/folder"), 2),
        ((), 2),
        (("--visit", "jhap01", "--max-memory", "50MB"), 5),
        (("--visit", "jhap01", "--pixfrac", "2"), 2),
    ],
)
def test_what_cannot_be_made(
    ingested: Runner, catalog: Catalog, arguments: tuple[str, ...], code: int
) -> None:
    result = ingested("mosaic", *arguments, "--json")
    assert result.exit_code == code
    assert set(result.json()["error"]) == {"message", "remedy", "exit_code"}
    assert rows(catalog, "SELECT count(*) FROM product") == [(0,)]


def test_masks_that_need_too_much_memory_are_refused_before_the_start(
    ingested: Runner, catalog: Catalog, hapctl_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    needed = "hapctl.processing.pipeline.mosaic_run.memory_of_group"
    with monkeypatch.context() as patch:
        patch.setattr(needed, lambda *_: MemoryPlan(900_000_000))
        plan = ingested("mosaic", "--visit", "jhap01", "--dry-run", "--json").json()["products"]
        for one in plan:
            assert (one["memory_bytes"] == 900_000_000) == (one["kind"] in ("filter", "total"))
        result = ingested("mosaic", "--visit", "jhap01", "--max-memory", "800000000", "--json")
        assert result.exit_code == 5
        message = "finding the cosmic rays of jhap01, f606w would need 900 MB of memory, 800 MB are allowed"
        assert message in result.json()["error"]["message"]
        assert rows(catalog, "SELECT count(*) FROM exposure_mask") == [(0,)]
        assert list(hapctl_home.rglob("*.fits")) == []
    assert ingested("mosaic", "--visit", "jhap01", "--max-memory", "800000000").exit_code == 0
    monkeypatch.setattr(needed, lambda *_: MemoryPlan(900_000_000))  # the masks are there
    assert ingested("mosaic", "--visit", "jhap01", "--max-memory", "800000000").exit_code == 0


def test_two_operators_at_once_make_products_once(
    ingested: Runner, run_hapctl_apart: Runner, catalog: Catalog
) -> None:
    with ThreadPoolExecutor(2) as pool:
        both = [pool.submit(run_hapctl_apart, "mosaic", "--visit", "jhap01", "--json") for _ in range(2)]
        results = [one.result() for one in both]
    assert [one.exit_code for one in results] == [0, 0], results
    statuses = [{product["status"] for product in one.json()["products"]} for one in results]
    assert sorted(map(sorted, statuses)) == [["made"], ["unchanged"]]
    assert rows(catalog, "SELECT count(*) FROM product") == [(4,)]
    assert rows(catalog, "SELECT count(*) FROM exposure_mask") == [(2,)]
    assert stale_names(catalog) == set()


def test_a_disk_that_fills_up_leaves_nothing_half_made(
    ingested: Runner, catalog: Catalog, hapctl_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr("hapctl.processing.pipeline.build_product.write_preview", full)
        result = ingested("mosaic", "--visit", "jhap01", "--json")
    assert result.exit_code == 5
    assert "the disk is full" in result.json()["error"]["message"]
    assert list((hapctl_home / "products").iterdir()) == []
    assert rows(catalog, "SELECT count(*) FROM product") == [(0,)]
    assert len(mosaic(ingested, "--visit", "jhap01")) == len(VISIT_PRODUCTS)


def test_a_run_tells_what_each_step_took(ingested: Runner, catalog: Catalog) -> None:
    told = ingested("mosaic", "--visit", "jhap01", "--json").json()["profile"]
    assert list(told) == list(PROFILE_STEPS)
    assert all(step["processor"] > 0 for step in told.values())
    kept = "SELECT summary FROM run_end JOIN run USING (run_id) WHERE command = 'mosaic'"
    ((summary,),) = rows(catalog, kept)
    assert summary["profile"] == told
    assert summary["made"] == len(VISIT_PRODUCTS)
    assert ingested("mosaic", "--visit", "jhap01", "--json").json()["profile"] == {}


def test_a_mask_tells_what_was_hit_and_what_was_not_tested(
    ingested: Runner, catalog: Catalog, hapctl_home: Path
) -> None:
    mosaic(ingested, "--visit", "jhap01")
    recorded = rows(catalog, "SELECT path, n_flagged, parameters FROM exposure_mask ORDER BY path")
    assert len(recorded) == 2
    for path, flagged, parameters in recorded:
        masks = read_mask(hapctl_home / path)
        assert sorted(masks) == [1, 2]
        assert sum(chip.hits.count() for chip in masks.values()) == flagged > 0
        assert parameters["cosmic_rays"]["scale"] == [1.5, 1.2]
        assert parameters["median"]["type"] == "minmed"
        for chip in masks.values():
            assert chip.untested is not None
            assert 0 < chip.untested.count() < 0.5 * 200 * 400  # the dither leaves an edge to each
            assert np.array_equal(ChipMasks.of(chip.flags()).hits.bits, chip.hits.bits)
        with fits.open(hapctl_home / path) as hdus:
            assert [hdus[1].header[f"FLAG{flag}"] for flag in (1, 2, 4)] == [
                "cosmic ray",
                "static mask",
                "untested",
            ]


def test_flags_stand_where_nothing_could_be_tested(
    ingested: Runner, catalog: Catalog, field: list[Path], tmp_path: Path, run_hapctl: Runner
) -> None:
    """Two exposures that see different places: the cosmic rays flagged before are all that is known."""
    files = []
    for number, file in enumerate(sorted(field)[:2]):
        path = tmp_path / file.name.replace("jhap01", "jhap09")
        with fits.open(file) as hdus:
            hdus[0].header["ROOTNAME"] = hdus[0].header["ROOTNAME"].replace("jhap01", "jhap09")
            for hdu in hdus[1:]:
                if hdu.name == "SCI":
                    hdu.header["CRVAL2"] += 0.02 * number
                if hdu.name == "DQ":
                    hdu.data[50:60, 100:140] |= 4096
            hdus.writeto(path)
        files.append(path)
    assert ingested("ingest", *files).exit_code == 0
    made = mosaic(ingested, "--visit", "jhap09")
    several = next(one for one in made.values() if one["kind"] == "filter")
    with fits.open(several["path"]) as hdus:
        holes = (hdus["CTX"].data == 0) & ndimage.binary_fill_holes(hdus["CTX"].data != 0)
    assert holes.sum() == pytest.approx(4 * 10 * 40, rel=0.2)


def test_products_carry_their_variance_and_how_they_were_drizzled(ingested: Runner) -> None:
    made = mosaic(ingested, "--visit", "jhap01")
    for one in made.values():
        with fits.open(one["path"]) as hdus:
            covered = hdus["WHT"].data > 0
            assert (hdus["VAR"].data[covered] > 0).mean() > 0.999
            assert np.isnan(hdus["VAR"].data[~covered]).all()
    shown = ingested("product", "show", FILTER, "--json").json()["parameters"]
    assert (shown["pixfrac"], shown["kernel"], shown["good_bits"]) == (1.0, "square", 336)
    assert (shown["sky"]["method"], shown["sky"]["statistic"]) == ("match", "median")
    other = mosaic(ingested, "--visit", "jhap01", "--pixfrac", "0.7")
    assert {one["status"] for one in other.values()} == {"made"}
    shown = ingested("product", "show", FILTER, "--json").json()["parameters"]
    assert shown["pixfrac"] == shown["final"]["pixfrac"] == 0.7


def test_a_dry_run_changes_nothing(ingested: Runner, catalog: Catalog, hapctl_home: Path) -> None:
    def state() -> tuple[list[tuple[object, ...]], set[Path]]:
        return rows(catalog, "SELECT count(*) FROM run"), set(hapctl_home.rglob("*"))

    before = state()
    plan = ingested("mosaic", "--visit", "jhap01", "--dry-run", "--json").json()
    assert state() == before
    assert {one["status"] for one in plan["products"]} == {"to make"}
    assert plan["masks_to_make"] == ["jhap01a0q", "jhap01a1q"]
    made = mosaic(ingested, "--visit", "jhap01")
    for one in plan["products"]:
        size = Path(made[one["name"]]["path"]).stat().st_size
        assert size == pytest.approx(one["bytes"], abs=60_000)  # headers and table beside the pixels
        assert 1.2e8 < one["memory_bytes"] < 2.5e8
        assert one["drizzle"]["cosmic_rays"]["enabled"] == (one["kind"] == "filter")
        assert one["drizzle"]["sky"]["bits"] == 80
        assert one["scratch_bytes"] == 0
        assert set(one["drizzle"]) == {part.name for part in dataclasses.fields(DrizzleParameters)}
    again = ingested("mosaic", "--visit", "jhap01", "--dry-run", "--json").json()
    assert {one["status"] for one in again["products"]} == {"unchanged"}
    other = ingested("mosaic", "--visit", "jhap01", "--dry-run", "--pixfrac", "0.8", "--json").json()
    assert {tuple(one["why"]) for one in other["products"]} == {("other parameters",)}
    text = ingested("mosaic", "--visit", "jhap01", "--dry-run")
    assert "unchanged" in text.stdout
    assert "from jhap01a0q, jhap01a1q" in text.stdout
    assert (
        "square, pixfrac 1, EXP, good bits 336; cosmic rays by minmed, snr 3.5 3, scale 1.5 1.2"
        in text.stdout
    )
    kept = "SELECT summary -> 'parameters' FROM run_end JOIN run USING (run_id) WHERE command = 'mosaic'"
    ((recorded,),) = rows(catalog, kept)
    assert [len(one["products"]) for one in recorded] == [2, 1, 1]  # exposures share theirs
    for part in recorded:
        for name in part["products"]:
            (shown,) = (one["drizzle"] for one in plan["products"] if one["name"] == name)
            assert part["drizzle"] == shown


@pytest.mark.parametrize("damage", ["missing", "shorter", "no preview"])
def test_damaged_products_are_made_again(ingested: Runner, damage: str) -> None:
    made = mosaic(ingested, "--visit", "jhap01")
    path = Path(made[FILTER]["path"])
    if damage == "shorter":
        path.write_bytes(path.read_bytes()[:-2880])
    else:
        (path if damage == "missing" else path.with_suffix(".png")).unlink()
    again = mosaic(ingested, "--visit", "jhap01")
    assert {name for name, one in again.items() if one["status"] == "made"} == {FILTER}
    assert again[FILTER]["pixels_sha256"] == made[FILTER]["pixels_sha256"]
    assert fits.getheader(path)["FILENAME"] == FILTER


def test_a_lost_mask_is_made_again(ingested: Runner, catalog: Catalog, hapctl_home: Path) -> None:
    made = mosaic(ingested, "--visit", "jhap01")
    for mask in (hapctl_home / "masks").rglob("*.fits"):
        mask.unlink()
    again = mosaic(ingested, "--visit", "jhap01")
    assert {one["status"] for name, one in again.items()} == {"unchanged"} or again[FILTER][
        "pixels_sha256"
    ] == made[FILTER]["pixels_sha256"]
    assert len(list((hapctl_home / "masks").rglob("*.fits"))) == 2
    assert stale_names(catalog) == set()


def test_inputs_that_moved_or_changed_are_named(
    field: list[Path], run_hapctl: Runner, tmp_path: Path
) -> None:
    copies = [Path(shutil.copy(path, tmp_path)) for path in field[:2]]
    assert run_hapctl("ingest", *copies).exit_code == 0
    content = copies[0].read_bytes()
    copies[0].write_bytes(content[:-100] + bytes(100 - 1) + b"x")
    changed = run_hapctl("mosaic", "--visit", "jhap01", "--json")
    assert changed.exit_code == 1
    assert str(copies[0]) in changed.json()["error"]["message"]
    copies[0].unlink()
    gone = run_hapctl("mosaic", "--visit", "jhap01", "--json")
    assert gone.exit_code == 1
    assert "jhap01a0q" in gone.json()["error"]["message"]
    copies[0].write_bytes(content)
    assert set(mosaic(run_hapctl, "--visit", "jhap01")) == set(VISIT_PRODUCTS)


def test_threads_folders_and_scratch_files_do_not_change_pixels(
    ingested: Runner, tmp_path: Path, catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = mosaic(ingested, "--visit", "jhap01", "--threads", "1", "--output", tmp_path / "one")
    on_disk = partial(new_masks, in_memory_bytes=0)
    monkeypatch.setattr("hapctl.processing.pipeline.open_exposures.new_masks", on_disk)
    four = mosaic(ingested, "--visit", "jhap01", "--threads", "4", "--output", tmp_path / "four")
    assert {name: made["pixels_sha256"] for name, made in one.items()} == {
        name: made["pixels_sha256"] for name, made in four.items()
    }
    assert rows(catalog, "SELECT count(*) FROM current_product") == [(8,)]
    assert stale_names(catalog) == set()


def test_products_are_listed_shown_and_explained(ingested: Runner, catalog: Catalog) -> None:
    mosaic(ingested, "--visit", "jhap01")
    listed = ingested("product", "list", "--visit", "jhap01", "--json").json()["products"]
    assert {one["name"] for one in listed} == set(VISIT_PRODUCTS)
    assert all(one["stale"] == [] for one in listed)
    shown = ingested("product", "show", FILTER, "--json").json()
    assert [one["rootname"] for one in shown["inputs"]] == ["jhap01a0q", "jhap01a1q"]
    assert shown["parameters"]["good_bits"] == 336
    lineage = ingested("product", "lineage", FILTER, "--json").json()["inputs"]
    assert {one["rootname"] for one in lineage} == {"jhap01a0q", "jhap01a1q"}
    assert all(len(one["file_sha256"]) == 64 and one["mask_sha256"] for one in lineage)
    assert "mask sha256" in ingested("product", "lineage", FILTER).stdout
    realign(catalog, {"jhap01a0q": 100.0, "jhap01a1q": 100.0})
    stale = ingested("product", "list", "--stale", "--json").json()["products"]
    assert {one["name"] for one in stale} == set(VISIT_PRODUCTS)
    assert ingested("product", "show", "nothing.fits").exit_code == 3


def test_another_engine_makes_products_again_and_another_version_of_the_software_does_not(
    ingested: Runner, catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    mosaic(ingested, "--visit", "jhap01")
    monkeypatch.setattr("hapctl.processing.pipeline.engine.version", lambda name: f"99 of {name}")
    assert {one["status"] for one in mosaic(ingested, "--visit", "jhap01").values()} == {"unchanged"}
    assert stale_names(catalog) == set()
    for module in ("planned", "product_policies"):
        monkeypatch.setattr(f"hapctl.processing.pipeline.{module}.ENGINE", 99)
    planned = ingested("mosaic", "--visit", "jhap01", "--dry-run", "--json").json()["products"]
    made = mosaic(ingested, "--visit", "jhap01")
    changed = "under the policy of products in force its parameters, masks or software are others"
    for one in planned:
        assert one["why"] == ["other parameters"]
        assert made[one["name"]]["why"] == [changed]
    assert stale_names(catalog) == set()
    assert {one["status"] for one in mosaic(ingested, "--visit", "jhap01").values()} == {"unchanged"}


def test_a_total_leaves_out_single_exposures_unless_all_are(ingested: Runner) -> None:
    made = mosaic(ingested, "--visit", "jhap02")
    total = made["hst_90001_02_acs_wfc_total_jhap02_drc.fits"]
    assert total["exposures"] == ["jhap02a0q", "jhap02a1q"]
    assert total["left_out"] == []


def test_a_filter_uses_the_cte_corrected_alone(
    field: list[Path], run_hapctl: Runner, catalog: Catalog, tmp_path: Path
) -> None:
    first, second = field[:2]
    plain = tmp_path / second.name.replace("_flc", "_flt")
    shutil.copy(second, plain)
    with fits.open(plain, mode="update") as hdus:
        hdus[0].header["FILENAME"] = plain.name
        hdus[0].header["PCTECORR"] = "OMIT"
    assert run_hapctl("ingest", first, plain).exit_code == 0
    made = mosaic(run_hapctl, "--visit", "jhap01")
    own = "hst_90001_01_acs_wfc_f606w_jhap01a1_drz.fits"
    assert made[own]["exposures"] == ["jhap01a1q"]
    for name in (FILTER, "hst_90001_01_acs_wfc_total_jhap01_drc.fits"):
        assert made[name]["exposures"] == ["jhap01a0q"]
        assert [one["code"] for one in made[name]["left_out"]] == ["not-cte-corrected"]
    assert stale_names(catalog) == set()
    assert run_hapctl("ingest", second).exit_code == 0  # the corrected file arrives
    untouched = "hst_90001_01_acs_wfc_f606w_jhap01a0_drc.fits"
    assert stale_names(catalog) == set(made) - {untouched}
    again = mosaic(run_hapctl, "--visit", "jhap01")
    assert {name: one["status"] for name, one in again.items()} == {
        **dict.fromkeys(VISIT_PRODUCTS, "made"),
        untouched: "unchanged",
        own: "retired",
    }
    assert again[FILTER]["exposures"] == ["jhap01a0q", "jhap01a1q"]
    assert stale_names(catalog) == set()


def test_a_total_of_one_filter_is_copied_to_the_bit(
    ingested: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    total = "hst_90001_01_acs_wfc_total_jhap01_drc.fits"
    copied: list[Path] = []

    def counted(path: Path) -> Iterator[Band]:
        copied.append(path)
        return product_bands(path)

    monkeypatch.setattr("hapctl.processing.pipeline.build_product.product_bands", counted)
    made = mosaic(ingested, "--visit", "jhap01")
    assert copied == [Path(made[FILTER]["path"])]
    Path(made[total]["path"]).unlink()
    again = mosaic(ingested, "--visit", "jhap01")  # drizzled: the filter's product was not made in this run
    assert len(copied) == 1
    assert again[FILTER]["status"] == "unchanged"
    assert again[total]["pixels_sha256"] == made[total]["pixels_sha256"] == made[FILTER]["pixels_sha256"]
    mosaic(ingested, "--visit", "jhap02")  # two filters of one exposure each: the total is of both
    assert not any("total" in path.name for path in copied)
