"""Mosaics of chosen fields, layers of the whole tile, and layers split by epoch and proposal."""

import math
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS
from hapctl.archive.database import Catalog
from hapctl.archive.sky_cells import cells_containing, sky_cell
from hapctl.processing.errors import RefusedError, UsageProblemError
from hapctl.processing.pipeline.field_grid import Field, field_of_request, place_of_field
from hapctl.processing.pipeline.mosaic_tile import tile_grid
from hypothesis import given, settings
from hypothesis import strategies as st
from support.commands import Runner
from support.mosaics import realign, rows, small_visit, stale_names

CENTRE = (152.0, 2.0)  # of the simulated visits
DAYS = 400.0


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Three visits of one place: jhap01 with two exposures, jhap02 with one, jhap03 with one a year later."""
    first = small_visit(tmp_path_factory.mktemp("first"))
    second = small_visit(tmp_path_factory.mktemp("second"), visit="jhap02", exposures=1)
    third = small_visit(tmp_path_factory.mktemp("third"), visit="jhap03", exposures=1)
    for path in third.files:
        with fits.open(path, mode="update") as hdus:
            for name in ("EXPSTART", "EXPEND"):
                hdus[0].header[name] += DAYS
            hdus[0].header["PROPOSID"] = 90002
    return [*first.files, *second.files, *third.files]


@pytest.fixture
def ingested(files: list[Path], run_hapctl: Runner) -> Runner:
    result = run_hapctl("ingest", *files)
    assert result.exit_code == 0, result.stderr
    return run_hapctl


def made(run: Runner, *arguments: object) -> dict[str, dict]:  # type: ignore[type-arg]
    result = run("mosaic", *arguments, "--wcs-policy", "any", "--json")
    assert result.exit_code == 0, result.stderr
    return {product["name"]: product for product in result.json()["products"]}


def test_a_field_lies_on_the_pixels_of_its_tiles(ingested: Runner, catalog: Catalog) -> None:
    products = made(ingested, "--center", *CENTRE, "--size", "0.3x0.2")
    (name,) = products
    assert name.startswith("hst_skycell-p1360-ra152d0000-decn2d0000_acs_wfc_f606w_all_dr")
    one = products[name]
    assert (one["kind"], one["nx"], one["ny"]) == ("mosaic", 450, 300)
    header = fits.getheader(one["path"], "SCI")
    middle = WCS(header).all_pix2world(0.5 * (450 - 1), 0.5 * (300 - 1), 0)
    assert np.hypot((middle[0] - CENTRE[0]) * math.cos(0.035), middle[1] - CENTRE[1]) * 3600 < 0.04
    cell = sky_cell(rows(catalog, "SELECT name FROM sky_cell ORDER BY 1")[0][0])
    assert (header["CRVAL1"], header["CRVAL2"]) == cell.crval
    offsets = np.array(cell.crpix) - (header["CRPIX1"], header["CRPIX2"])
    assert np.array_equal(offsets, np.rint(offsets))
    assert fits.getheader(one["path"])["HAPLEVEL"] == 4
    tile = made(ingested, "--tile", cell.name)
    layer = next(iter(tile.values()))
    with fits.open(layer["path"]) as whole, fits.open(one["path"]) as field:
        x, y = (round(whole["SCI"].header[key] - field["SCI"].header[key]) for key in ("CRPIX1", "CRPIX2"))
        assert x >= 0
        assert y >= 0
        for image in ("SCI", "WHT", "CTX"):
            cut = whole[image].data[y : y + 300, x : x + 450]
            np.testing.assert_array_equal(cut, field[image].data)


def test_a_field_is_stale_by_new_and_moved_exposures_near_it(
    files: list[Path], run_hapctl: Runner, catalog: Catalog
) -> None:
    run_hapctl("ingest", *files[:2])
    arguments = ("--center", *CENTRE, "--size", "0.3")
    (first,) = made(run_hapctl, *arguments).values()
    assert (first["status"], stale_names(catalog)) == ("made", set())
    (again,) = made(run_hapctl, *arguments).values()
    assert again["status"] == "unchanged"
    run_hapctl("ingest", files[2])
    assert stale_names(catalog) == {first["name"]}
    (second,) = made(run_hapctl, *arguments).values()
    assert "jhap02a0q: new exposure" in second["why"]
    assert stale_names(catalog) == set()
    realign(catalog, {"jhap02a0q": 5.0})
    assert stale_names(catalog) == {first["name"]}
    ((grid,),) = rows(catalog, "SELECT grid FROM product WHERE kind = 'mosaic' ORDER BY product_id LIMIT 1")
    assert field_of_request(grid["field"]) == Field(*CENTRE, 18.0, 18.0)


def test_an_exposure_that_only_comes_near_a_field_is_left_out_for_good(
    ingested: Runner, catalog: Catalog
) -> None:
    # the cells of a footprint have 13 arcsec: a field beside the chips shares some with them
    outlines = [row[0] for row in rows(catalog, "SELECT s_region FROM wcs_solution")]
    numbers = [float(word) for text in outlines for word in text.split() if word[0] in "-0123456789"]
    north, ra = max(zip(numbers[1::2], numbers[::2], strict=True))
    outside = ingested("mosaic", "--center", ra, north + 2.0 / 3600, "--size", "2arcsec", "--json")
    assert outside.exit_code == 65
    some = made(ingested, "--center", ra, north - 0.5 / 3600, "--size", "2arcsec")
    used = {name for one in some.values() for name in one["exposures"]}
    left = {code for one in some.values() for code in (part["code"] for part in one["left_out"])}
    assert used
    assert left == {"outside-field"}
    assert stale_names(catalog) == set()


def test_layers_are_split_by_epoch_and_proposal(
    files: list[Path], run_hapctl: Runner, catalog: Catalog
) -> None:
    run_hapctl("ingest", *files[:2], *files[3:])
    tile = rows(catalog, "SELECT name FROM sky_cell ORDER BY 1 LIMIT 1")[0][0]
    labels = {
        row[0]: row[1]
        for row in rows(catalog, "SELECT rootname, label FROM exposure_label WHERE split_by = 'epoch'")
    }
    epochs = made(run_hapctl, "--tile", tile, "--split", "epoch")
    assert {name.split("_")[-2] for name in epochs} == set(labels.values())
    for name, one in epochs.items():
        assert {labels[rootname] for rootname in one["exposures"]} == {name.split("_")[-2]}
    assert len(epochs) == 2
    proposals = made(run_hapctl, "--tile", tile, "--split", "proposal")
    assert sorted(name.split("_")[-2] for name in proposals) == ["p90001", "p90002"]
    assert stale_names(catalog) == set()
    run_hapctl("ingest", files[2])  # of the first year and proposal
    stale = stale_names(catalog)
    assert {name.split("_")[-2] for name in stale} == {"p90001", labels["jhap01a0q"]}


def test_a_full_cell_covers_the_whole_tile_and_too_much_is_refused_before_the_start(
    ingested: Runner, catalog: Catalog, hapctl_home: Path
) -> None:
    tile = rows(catalog, "SELECT name FROM sky_cell ORDER BY 1 LIMIT 1")[0][0]
    planned = ingested("mosaic", "--tile", tile, "--full-cell", "--wcs-policy", "any", "--dry-run", "--json")
    (one,) = planned.json()["products"]
    assert (one["nx"], one["ny"]) == (21954, 21954)
    assert one["bytes"] >= 3 * 4 * 21954**2
    assert one["memory_bytes"] < 1.5e9
    field = ("--center", *CENTRE, "--size", "2deg", "--wcs-policy", "any")
    refused = ingested("mosaic", *field, "--json")
    assert refused.exit_code == 5
    assert "GB" in refused.json()["error"]["message"]
    assert rows(catalog, "SELECT count(*) FROM exposure_mask") == [(0,)]
    assert not list((hapctl_home / "products").glob("*"))


@pytest.mark.parametrize(
    ("arguments", "exit_code", "words"),
    [
        (("--center", 152.0, 2.0), 2, "--size"),
        (("--size", "3"), 2, "--center"),
        (("--center", 152.0, 2.0, "--size", "3 parsec"), 2, "is no size"),
        (("--center", 152.0, 92.0, "--size", "3"), 2, "declination"),
        (("--center", 152.0, 2.0, "--size", "6deg"), 1, "p1360"),
        (("--center", 200.0, -60.0, "--size", "3"), 65, "no exposure"),
        (("--center", 152.0, 2.0, "--size", "1", "--name", "../x"), 2, "names"),
    ],
)
def test_fields_that_cannot_be(
    run_hapctl: Runner, catalog: Catalog, arguments: tuple[object, ...], exit_code: int, words: str
) -> None:
    result = run_hapctl("mosaic", *arguments, "--json")
    assert result.exit_code == exit_code
    assert words in result.json()["error"]["message"]


@given(
    st.floats(0.0, 360.0, exclude_max=True),
    st.floats(-1.0, 1.0).map(lambda z: math.degrees(math.asin(z))),
    st.floats(1.0, 600.0),
    st.floats(1.0, 600.0),
)
@settings(max_examples=60, deadline=None)
def test_fields_anywhere_have_grids_about_their_centres(
    ra: float, dec: float, width: float, height: float
) -> None:
    place = place_of_field(Field(ra, dec, width, height))
    for coarse, grid in place.grids("WFC3", "IR"):
        step = 0.12 if coarse else 0.04
        assert grid.scale_arcsec == pytest.approx(step, rel=1e-12)
        assert np.abs(np.array(grid.shape) - np.array([height, width]) / step).max() <= 0.5 + 1e-6
        assert all(float(value).is_integer() for value in grid.crpix)
        x, y = grid.sky_to_pixel(ra, dec)
        middle = 0.5 * (grid.shape[1] - 1), 0.5 * (grid.shape[0] - 1)
        assert max(abs(float(x) - middle[0]), abs(float(y) - middle[1])) <= 0.5 + 1e-6
        corner = grid.wcs().all_pix2world([[-0.5, -0.5]], 0)[0]  # astropy, independently
        nearest = min(_separation((corner[0], corner[1]), other) for other in place.corners.tolist())
        assert nearest <= 1.01 * step / 3600  # the field in whole pixels
    assert {tile.projection_cell for tile in place.tiles()} == {place.cell}


@pytest.mark.parametrize(
    "position", [(0.0, 0.0), (359.9999, 30.0), (12.0, 90.0), (0.0, -90.0), (77.0, -89.99)]
)
def test_fields_at_ra_0_and_the_poles(position: tuple[float, float]) -> None:
    place = place_of_field(Field(*position, 120.0, 60.0))
    assert place.cell in {cell.projection_cell for cell in cells_containing(*position)}
    assert place.tiles()
    grid = place.grids("ACS", "WFC")[0][1]
    ra, dec = grid.pixel_to_sky(np.array([-0.5, grid.shape[1] - 0.5]), np.array([-0.5, -0.5]))
    for one in zip(ra.tolist(), dec.tolist(), strict=True):
        assert min(_separation(one, corner) for corner in place.corners.tolist()) < 0.05 / 3600


def _separation(one: tuple[float, float], other: tuple[float, float]) -> float:
    a, b = ((math.radians(x), math.radians(y)) for x, y in (one, other))
    vectors = [(math.cos(d) * math.cos(r), math.cos(d) * math.sin(r), math.sin(d)) for r, d in (a, b)]
    return math.degrees(math.dist(*vectors))


def test_a_field_beyond_its_projection_cell_is_refused_with_the_neighbours() -> None:
    with pytest.raises(RefusedError, match=r"leaves its projection cell p1360; its neighbours there: p\d{4}"):
        place_of_field(Field(*CENTRE, 18100.0, 60.0))
    with pytest.raises(UsageProblemError):
        place_of_field(Field(*CENTRE, math.nan, 60.0))


def test_a_coarse_pixel_of_a_field_covers_nine_fine_ones() -> None:
    place = place_of_field(Field(*CENTRE, 30.0, 30.0))
    (_, coarse), (_, fine) = place.grids("WFC3", "IR")
    x, y = fine.sky_to_pixel(*coarse.pixel_to_sky(np.array([3.0]), np.array([5.0])))
    assert np.allclose([x, y], np.rint([x, y]), atol=1e-6)
    whole = tile_grid(place.tiles()[0])
    there = whole.sky_to_pixel(*fine.pixel_to_sky(np.array([0.0]), np.array([0.0])))
    assert np.allclose(there, np.rint(there), atol=1e-6)


def test_compressed_layers_have_the_same_pixels_and_are_made_once(ingested: Runner, catalog: Catalog) -> None:
    arguments = ("--center", *CENTRE, "--size", "0.2")
    (plain,) = made(ingested, *arguments).values()
    size = Path(plain["path"]).stat().st_size
    (packed,) = made(ingested, *arguments, "--compress", "gzip").values()
    assert packed["why"] == ["its images are not compressed"]
    assert packed["pixels_sha256"] == plain["pixels_sha256"]
    assert Path(packed["path"]).stat().st_size < size
    (again,) = made(ingested, *arguments, "--compress", "gzip").values()
    assert again["status"] == "unchanged"
    (rounded,) = made(ingested, *arguments, "--compress", "rice").values()
    assert rounded["pixels_sha256"] != plain["pixels_sha256"]
    rebuilt = ingested("product", "rebuild", rounded["product_id"], "--json")
    assert rebuilt.exit_code == 0, rebuilt.stderr
    assert rounded["pixels_sha256"] in rebuilt.stdout
    assert stale_names(catalog) == set()


def test_two_operators_make_a_field_once(
    ingested: Runner, run_hapctl_apart: Runner, catalog: Catalog
) -> None:
    command = ("mosaic", "--center", *CENTRE, "--size", "0.2", "--wcs-policy", "any", "--json")
    with ThreadPoolExecutor(2) as pool:
        both = [pool.submit(run_hapctl_apart, *command) for _ in range(2)]
        results = [one.result() for one in both]
    assert [one.exit_code for one in results] == [0, 0], results
    assert sorted(one.json()["products"][0]["status"] for one in results) == ["made", "unchanged"]
    assert rows(catalog, "SELECT count(*) FROM product") == [(1,)]
    assert stale_names(catalog) == set()
