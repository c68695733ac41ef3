"""The products of a visit of two detectors: grids, names, headers, and the WCS as other readers see it."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS
from hapctl.archive.database import Catalog
from hapctl.processing.astrometry.headerlet import read_headerlet
from hapctl.processing.astrometry.reading import read_solutions
from hapctl.processing.astrometry.wcs_writing import same_linear
from sqlalchemy import text
from support.commands import Runner
from support.data import data_file
from support.mosaics import active_solution, realign, rows, small_visit, stale_names

HAP_CARDS = {
    # hap_reference 3.8: keyword, type
    **dict.fromkeys(("HAPLEVEL", "NUMEXP", "NDRIZIM"), int),
    **dict.fromkeys(("NPIXFRAC", "MEANEXPT", "MEDEXPT", "MEANNEXP", "MEDNEXP", "MEANWHT", "MEDWHT"), float),
    **dict.fromkeys(("EQUINOX", "EXPSTART", "EXPEND", "EXPTIME", "TEXPTIME"), float),
    **dict.fromkeys(("RA_TARG", "DEC_TARG"), float),
    **dict.fromkeys(
        (
            "DATE-OBS",
            "TIME-OBS",
            "DATE-BEG",
            "DATE-END",
            "FILTER",
            "DRIZPARS",
            "PROD_VER",
            "TARGNAME",
            "ROOTNAME",
        ),
        str,
    ),
}
TABLE = (
    *("ROOTNAME", "HAPEXPNAME", "WCSNAME", "WCSSHA", "WCSFRAME", "WCSRUN", "MASKSHA", "MASKRUN"),
    *("TARGNAME", "APERTURE", "PHOTMODE", "IDCTAB", "BUNIT"),
)
LEFT_OVER = ("A_ORDER", "B_ORDER", "CPDIS1", "D2IMDIS1", "DP1", "LTV1", "LTV2", "LTM1_1", "LTM2_2", "PV2_1")


@pytest.fixture(scope="module")
def field(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two exposures in a filter of UVIS, and one in one of IR."""
    made = small_visit(
        tmp_path_factory.mktemp("both"),
        visit="ihap01",
        detector="BOTH",
        filters=("F606W", "F160W"),
        stars=60,
    )
    return list(made.files)[:3]


@pytest.fixture
def ingested(field: list[Path], run_hapctl: Runner) -> Runner:
    result = run_hapctl("ingest", *field)
    assert result.exit_code == 0, result.stderr
    return run_hapctl


def mosaic(run: Runner, *arguments: object) -> dict[str, dict]:  # type: ignore[type-arg]
    result = run("mosaic", *arguments, "--json")
    assert result.exit_code == 0, result.stderr
    return {product["name"]: product for product in result.json()["products"]}


def plain_tan(header: fits.Header, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """0-based pixels to RA, Dec: the TAN projection, as a reader that knows nothing else has it."""
    dx, dy = x + 1.0 - header["CRPIX1"], y + 1.0 - header["CRPIX2"]
    xi = np.radians(header["CD1_1"] * dx + header["CD1_2"] * dy)
    eta = np.radians(header["CD2_1"] * dx + header["CD2_2"] * dy)
    ra, dec = np.radians([header["CRVAL1"], header["CRVAL2"]])
    depth = np.cos(dec) - eta * np.sin(dec)
    found = ra + np.arctan2(xi, depth)
    height = np.arctan2((np.sin(dec) + eta * np.cos(dec)) * np.cos(found - ra), depth)
    return np.degrees(found) % 360.0, np.degrees(height)


def images(products: dict[str, dict]) -> Iterator[fits.HDUList]:  # type: ignore[type-arg]
    for one in products.values():
        if one["path"].endswith(".fits"):
            with fits.open(one["path"], checksum=True) as hdus:
                yield hdus


@pytest.mark.filterwarnings("error")
def test_other_readers_see_our_wcs(ingested: Runner, catalog: Catalog, tmp_path: Path) -> None:
    """astropy, and a reader that knows plain TAN alone; products, layers and nested grids."""
    native = mosaic(ingested, "--visit", "ihap01")
    nested = mosaic(ingested, "--visit", "ihap01", "--grid", "nested", "--output", tmp_path)
    tile = rows(catalog, "SELECT name FROM sky_cell ORDER BY 1 LIMIT 1")[0][0]
    layers = mosaic(ingested, "--tile", tile)
    x, y = np.random.default_rng(2).uniform(0.0, 600.0, (2, 40))
    for products in (native, nested, layers):
        for hdus in images(products):
            for hdu in hdus[1:-1]:
                assert not set(LEFT_OVER) & set(hdu.header)
                sky = WCS(hdu.header).celestial.all_pix2world(x, y, 0)
                off = np.subtract(sky, plain_tan(hdu.header, x, y)) * [
                    [np.cos(np.radians(hdu.header["CRVAL2"]))],
                    [1.0],
                ]
                assert np.abs(off).max() < 1e-10  # degrees
    assert_shared(native)
    assert_nested(nested, layers)
    assert stale_names(catalog) == set()


def headers_by_detector(products: dict[str, dict]) -> dict[str, list[fits.Header]]:  # type: ignore[type-arg]
    found: dict[str, list[fits.Header]] = {}
    for hdus in images(products):
        found.setdefault(hdus[0].header["DETECTOR"], []).append(hdus["SCI"].header)
    return found


def assert_shared(products: dict[str, dict]) -> None:  # type: ignore[type-arg]
    """One tangent point and orientation for the visit, one grid a detector."""
    found = headers_by_detector(products)
    assert set(found) == {"UVIS", "IR"}
    everything = [header for headers in found.values() for header in headers]
    assert len({(header["CRVAL1"], header["CRVAL2"], header["ORIENTAT"]) for header in everything}) == 1
    for headers in found.values():
        assert len({(one["CRPIX1"], one["CRPIX2"], one["NAXIS1"], one["NAXIS2"]) for one in headers}) == 1
        assert headers[0]["CRPIX1"] == int(headers[0]["CRPIX1"])


def assert_nested(products: dict[str, dict], layers: dict[str, dict]) -> None:  # type: ignore[type-arg]
    """A coarse pixel is 3 x 3 fine ones, and the tile's layers have the very pixels of the visit."""
    found = headers_by_detector(products)
    fine, coarse = WCS(found["UVIS"][0]), WCS(found["IR"][0])
    corners = fine.all_world2pix(*coarse.all_pix2world([9.5, 10.5], [19.5, 20.5], 0), 0)
    np.testing.assert_allclose(np.diff(corners), 3.0, atol=1e-6)
    np.testing.assert_allclose(np.mod(corners, 1.0), 0.5, atol=1e-6)
    compared = set()
    for header in (hdus["SCI"].header for hdus in images(layers)):
        scale = round(header["CD2_2"] * 3600.0, 6)
        mine = next(one[0] for one in found.values() if round(one[0]["CD2_2"] * 3600.0, 6) == scale)
        shift = np.subtract([header["CRPIX1"], header["CRPIX2"]], [mine["CRPIX1"], mine["CRPIX2"]])
        if (header["CRVAL1"], header["CRVAL2"]) == (mine["CRVAL1"], mine["CRVAL2"]):
            np.testing.assert_allclose(shift, np.round(shift), atol=1e-6)
            compared.add(scale)
    assert compared == {0.04, 0.12}


@pytest.mark.filterwarnings("error")
def test_headers_are_haps(ingested: Runner, catalog: Catalog) -> None:
    """Every keyword of hap_reference 3.8, of the type that a real product has it in; sums in every HDU."""
    tile = rows(catalog, "SELECT name FROM sky_cell ORDER BY 1 LIMIT 1")[0][0]
    products = {**mosaic(ingested, "--visit", "ihap01"), **mosaic(ingested, "--tile", tile)}
    for hdus in images(products):
        hdus.verify("exception")
        assert all({"CHECKSUM", "DATASUM"} <= set(hdu.header) for hdu in hdus)
        top, science, table = hdus[0].header, hdus["SCI"].header, hdus["HDRTAB"].data
        for keyword, kind in HAP_CARDS.items():
            assert isinstance(top[keyword], kind), keyword
        layer = top["HAPLEVEL"] == 4
        assert ("SCELLID" in top) == layer
        assert ("IPPPSSOO" in top) == ("SKYCELL" in top) == (not layer)
        assert science["S_REGION"].startswith("POLYGON ICRS ")
        assert ("PHOTFLAM" in science) == (top["FILTER"] != "detection")
        assert not any(keyword.startswith("PHOT") for keyword in top)
        assert {
            "ROOTNAME",
            "SVMROOTNAME" if layer else "HAPEXPNAME",
            "WCSNAME",
            "WCSSHA",
            "WCSFRAME",
            "MASKSHA",
            "MASKRUN",
            "WCSRUN",
        } <= (set(table.names))
        assert {"TARGNAME", "APERTURE", "PHOTMODE", "IDCTAB", "BUNIT"} <= set(table.names)
        assert top["NDRIZIM"] == len(table)
        assert top["NUMEXP"] == len(set(table["ROOTNAME"]))
        assert top["HAPNOUT"] == len([keyword for keyword in top if keyword.startswith("HAPOUT")])


def test_the_cards_are_of_the_types_of_a_real_product() -> None:
    real = fits.getheader(data_file("headers/sample_mvm_drc.fits"))
    assert {keyword for keyword, kind in HAP_CARDS.items() if not isinstance(real[keyword], kind)} == set()


def test_any_exposure_that_moves_moves_the_grids_of_its_visit(ingested: Runner, catalog: Catalog) -> None:
    made = mosaic(ingested, "--visit", "ihap01")
    realign(catalog, {"ihap01a0q": 40.0, "ihap01a1q": 40.0, "ihap01a2q": 40.0})
    assert stale_names(catalog) == {name for name, one in made.items() if one["kind"] != "colour"}
    mosaic(ingested, "--visit", "ihap01")
    assert stale_names(catalog) == set()


def to_filter(catalog: Catalog, rootnames: list[str], name: str) -> None:
    change = "UPDATE exposure SET filter = :name, filter_elements = ARRAY[:name] WHERE rootname = ANY (:of)"
    with catalog.begin() as connection:
        connection.execute(text(change), {"name": name, "of": rootnames})


def test_ramp_and_quad_filters_are_left_out_with_the_reason(ingested: Runner, catalog: Catalog) -> None:
    to_filter(catalog, ["ihap01a0q"], "fq508n")
    made = mosaic(ingested, "--visit", "ihap01")
    assert not any("fq508n" in name for name in made)
    total = made["hst_90001_01_wfc3_uvis_total_ihap01_drc.fits"]
    assert ("quad-filter", "fq508n is a quad filter: it covers a quarter of the field") in [
        (one["code"], one["reason"]) for one in total["left_out"]
    ]
    with fits.open(total["path"]) as hdus:
        assert hdus[0].header["HAPOUT01"] == "ihap01a0q: quad-filter"
    assert stale_names(catalog) == set()
    to_filter(catalog, ["ihap01a0q", "ihap01a1q", "ihap01a2q"], "fr505n")
    refused = ingested("mosaic", "--visit", "ihap01", "--output", "/nowhere/at/all", "--json")
    assert refused.exit_code == 65
    assert "ramp filter" in refused.stderr + refused.stdout


def test_exposures_have_headerlets_and_on_request_calibrated_files(
    ingested: Runner, catalog: Catalog, tmp_path: Path
) -> None:
    def kinds() -> dict[str, int]:
        question = (
            "SELECT f.kind, count(*) FROM product_file f JOIN current_product p USING (product_id)"
            " WHERE p.kind = 'exposure' GROUP BY 1"
        )
        return dict(rows(catalog, question))

    place = ("--visit", "ihap01", "--output", tmp_path)
    realign(catalog, {"ihap01a0q": 40.0, "ihap01a1q": 40.0, "ihap01a2q": 40.0})
    mosaic(ingested, *place)
    assert kinds() == {"fits": 3, "preview": 3, "headerlet": 3}
    made = mosaic(ingested, *place, "--calibrated")
    assert {one["status"] for one in made.values() if one["kind"] == "exposure"} == {"made"}
    assert {one["status"] for one in made.values() if one["kind"] in ("filter", "total")} == {"unchanged"}
    assert kinds() == {"fits": 3, "preview": 3, "headerlet": 3, "calibrated": 3}
    copy = tmp_path / "hst_90001_01_wfc3_uvis_f606w_ihap01a0_flc.fits"
    with fits.open(copy, checksum=True) as hdus:
        assert hdus[0].header["FILENAME"] == copy.name
        assert hdus[0].header["ROOTNAME"] == "ihap01a0q"
    solution = active_solution(catalog, "ihap01a0q")
    assert solution.name.endswith("-FIT_SVM_GAIADR3")
    assert same_linear(read_solutions(copy)[0].solution, solution)
    assert same_linear(read_headerlet(copy.with_name(copy.name.replace("_flc", "_hlet"))), solution)
    (tmp_path / "hst_90001_01_wfc3_uvis_f606w_ihap01a0_hlet.fits").unlink()
    again = mosaic(ingested, *place, "--calibrated")
    assert [name for name, one in again.items() if one["status"] == "made"] == [
        "hst_90001_01_wfc3_uvis_f606w_ihap01a0_drc.fits"
    ]
