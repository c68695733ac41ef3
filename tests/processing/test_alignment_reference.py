"""References that are no catalog of the sky: lists, aligned visits, products; all through one door."""

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table
from astropy.wcs import WCS
from hapctl.archive.errors import CatalogUsageError, NotInCatalogError, RefusedByCatalogError
from hapctl.archive.gaia_rows import list_queries
from hapctl.archive.runs import recorded_run
from hapctl.archive.sky_region import parse_region
from hapctl.processing.errors import MissingFileError, RefusedError, UnusableFileError
from hapctl.processing.pipeline.alignment_reference import (
    is_local,
    reference_for_alignment,
    reference_name,
)
from sqlalchemy import text
from support.catalog_rows import Rows

REGION = parse_region("circle 150.0 2.0 0.02")


@pytest.fixture
def run(catalog):
    with recorded_run(catalog, "test", {}) as opened:
        yield opened


def asked(catalog, run, name, region=REGION, **options):
    return reference_for_alignment(catalog, run.id, [region], name=str(name), **options)


def test_names_say_what_they_are(tmp_path):
    path = tmp_path / "list.csv"
    path.write_text("ra,dec\n150.0,2.0\n")
    assert [
        is_local(name) for name in (str(path), f"file:{path}", "visit:j8bt09", "product:a.fits", "DR3")
    ] == [
        True,
        True,
        True,
        True,
        False,
    ]
    assert reference_name("ps1") == "PS1DR2"
    assert reference_name("visit:j8bt09") == "visit:j8bt09"


def test_a_catalog_of_the_sky_is_still_one(catalog, run):
    with pytest.raises(RefusedByCatalogError, match=r"covers 0\.0 % of the field in 2mass"):
        asked(catalog, run, "2MASS", offline=True)
    with pytest.raises(CatalogUsageError, match=r"'nothing\.csv' is not known") as caught:
        asked(catalog, run, "nothing.csv")
    assert "file:PATH" in caught.value.remedy


# -- lists


def test_a_list_is_kept_by_its_content(catalog, run, tmp_path):
    path = tmp_path / "my stars-2.csv"
    path.write_text(
        "id,ra,dec,ra_error,dec_error\na,150.0,2.0,1,1\nb,150.01,2.01,2,2\nc,170.0,2.0,1,1\nd,150.5,2.0,1,1\n"
    )
    found = asked(catalog, run, f"file:{path}", epoch=2012.5)
    assert list(found.stars.source_id) == ["a", "b"]
    assert list(found.stars.ra_error) == [1.0, 2.0]
    assert set(found.stars.ref_epoch) == {2012.5}
    assert (found.name, found.release, found.covered_fraction) == ("mystars2", "file:my stars-2.csv", 1.0)
    assert found.frame.startswith("list my stars-2.csv ")
    assert [note.split(":")[0] for note in found.notes] == ["it has no epoch", "it has no motions"]
    assert found.fetched == found.query_ids
    again = asked(catalog, run, path, epoch=2012.5)
    assert (again.query_ids, again.fetched) == (found.query_ids, ())
    path.write_text("id,ra,dec,ra_error,dec_error\na,150.0,2.0,1,1\n")
    changed = asked(catalog, run, path, epoch=2012.5)
    assert changed.query_ids != found.query_ids
    assert changed.frame != found.frame
    with catalog.begin() as connection:
        queries = list_queries(connection)
    assert [(query.source, query.n_rows) for query in queries] == [("file", 3), ("file", 1)]


def test_a_list_of_the_whole_sky(catalog, run, tmp_path):
    """Only what is near the field is kept, and what is said to be covered lies around it."""
    random = np.random.default_rng(2)
    ra, dec = random.uniform(0, 360, 5000), np.degrees(np.arcsin(random.uniform(-1, 1, 5000)))
    ra[:30], dec[:30] = 150.0 + random.uniform(-0.01, 0.01, 30), 2.0 + random.uniform(-0.01, 0.01, 30)
    Table({"ra": ra, "dec": dec}).write(tmp_path / "sky.fits")
    found = asked(catalog, run, tmp_path / "sky.fits")
    assert len(found.stars) == 30
    with catalog.begin() as connection:
        (query,) = list_queries(connection)
    assert 30 <= query.n_rows < 40
    circle = parse_region(query.region).circle
    assert circle.radius < 1.1
    assert circle.contains(np.array([150.0]), np.array([2.0])).all()


def test_a_list_of_another_field_is_refused(catalog, run, tmp_path):
    path = tmp_path / "elsewhere.csv"
    path.write_text("ra,dec\n150.0,-2.0\n151.0,-2.0\n")
    with pytest.raises(RefusedByCatalogError, match=r"none of the 2 stars of file elsewhere\.csv lies in"):
        asked(catalog, run, path)
    with pytest.raises(RefusedByCatalogError, match=r"the nearest is 4 degrees from RA 150\.00000, Dec"):
        asked(catalog, run, path)
    with catalog.begin() as connection:
        assert list_queries(connection) == []


def test_a_list_that_is_not_there(catalog, run, tmp_path):
    with pytest.raises(NotInCatalogError, match="there is no file"):
        asked(catalog, run, f"file:{tmp_path / 'nothing.csv'}")


# -- visits


def aligned_visit(catalog, *, frames=("GAIA-CRF3", "GAIA-CRF3"), numbered=True):
    """Two exposures in force with fits that measured three stars; the third in one exposure only."""
    with catalog.begin() as connection:
        rows = Rows(connection)
        rows.add("run")
        rows.add("policy", kind="acceptance")
        rows.add("visit", visit="j8bt09")
        for exposure, frame in enumerate(frames):
            run_id = rows.last["run"]["run_id"]
            row = rows.add("exposure", rootname=f"j8bt09j{exposure}q", updated_run_id=run_id)
            start = rows.add("wcs_solution")
            group = rows.add("alignment_group") if exposure == 0 else rows.last["alignment_group"]
            solution = rows.add(
                "wcs_solution", wcsname="IDC_abc-FIT_SVM_GAIADR3", kind="fit", mode="SVM", catalog="GAIADR3",
                frame=frame, alignment_group_id=group["alignment_group_id"],
            )  # fmt: skip
            rows.add("wcs_active", exposure_id=row["exposure_id"], solution_id=solution["solution_id"])
            rows.add(
                "alignment_attempt", visit="j8bt09", outcome="accepted", exposure_id=row["exposure_id"],
                from_solution_id=start["solution_id"], solution_id=solution["solution_id"],
                alignment_group_id=group["alignment_group_id"],
            )  # fmt: skip
            for star in range(3 - exposure):
                shift = (2 * exposure - 1) * 1e-3 / 3600.0  # a mas to either side
                rows.add(
                    "star_match", star=star + 1, ra=(359.9999 + 0.001 * star + shift) % 360.0,
                    dec=2.0 + 0.001 * star + shift, error_mas=1.0, group_star=star + 5 if numbered else None,
                    magnitude=20.0 + star,
                )  # fmt: skip
            rows.add("star_match", star=9, ra=0.002, dec=2.002, used=False)


@pytest.mark.parametrize("numbered", [True, False])
def test_stars_of_a_visit(catalog, run, numbered):
    """Each star once, in the mean of its places, across right ascension 0."""
    aligned_visit(catalog, numbered=numbered)
    region = parse_region("circle 0.0 2.0 0.02")
    found = asked(catalog, run, "visit:J8BT09", region)
    assert (found.name, found.frame, found.release) == ("J8BT09", "GAIA-CRF3", "visit:j8bt09")
    stars = found.stars[np.argsort(found.stars.dec)]
    assert len(stars) == 3
    np.testing.assert_allclose(stars.dec[:2], [2.0, 2.001], atol=1e-12)
    np.testing.assert_allclose((stars.ra[:2] + 180) % 360 - 180, [-0.0001, 0.0009], atol=1e-11)
    np.testing.assert_allclose(stars.ra_error, [2**-0.5, 2**-0.5, 1.0])
    np.testing.assert_allclose(stars.ref_epoch, 2006.195, atol=1e-3)
    np.testing.assert_array_equal(stars.phot_g_mean_mag, [20.0, 21.0, 22.0])
    assert np.isnan(stars.pmra).all()
    with catalog.begin() as connection:
        (query,) = list_queries(connection)
        assert connection.scalar(text("SELECT coverage FROM reference_query")) is not None
    assert query.source == "visit"
    assert query.question.startswith("stars of visit j8bt09 by its solutions in force: ")


def test_a_visit_of_two_frames_is_refused(catalog, run):
    aligned_visit(catalog, frames=("GAIA-CRF3", "alignment group 7"))
    with pytest.raises(RefusedByCatalogError, match="good in 2 frames: GAIA-CRF3, alignment group 7"):
        asked(catalog, run, "visit:j8bt09")


def test_a_visit_without_alignment_is_told(catalog, run):
    with pytest.raises(NotInCatalogError, match="'j8bt99' has no accepted alignment in force") as caught:
        asked(catalog, run, "visit:j8bt99")
    assert caught.value.remedy == "run: hapctl align --visit j8bt99"


# -- products


def product(path, *, name="SCI", wcsname="IDC_abc-FIT_SVM_GAIAeDR3", stars=40, seed=3):
    """A product of 0.05 arcsec pixels with stars of known places; returns these."""
    random = np.random.default_rng(seed)
    size = 500
    wcs = WCS(naxis=2)
    wcs.wcs.ctype, wcs.wcs.crval, wcs.wcs.crpix = ["RA---TAN", "DEC--TAN"], [150.0, 2.0], [250.5, 250.5]
    wcs.wcs.cd = np.array([[-1.0, 0.0], [0.0, 1.0]]) * 0.05 / 3600.0
    x, y = random.uniform(20, size - 20, (2, stars))
    image = random.normal(0.0, 0.01, (size, size))
    columns, rows = np.meshgrid(np.arange(size), np.arange(size))
    for column, row, flux in zip(x, y, 10 ** random.uniform(0.5, 2.5, stars), strict=True):
        image += flux / (2 * np.pi) * np.exp(-0.5 * ((columns - column) ** 2 + (rows - row) ** 2))
    header = wcs.to_header()
    header["WCSNAME"], header["BUNIT"] = wcsname, "ELECTRONS/S"
    primary = fits.Header({"EXPSTART": 55197.0, "EXPEND": 55198.0, "EXPTIME": 1000.0, "DETECTOR": "WFC"})
    science = fits.ImageHDU(image.astype(np.float32), header, name="SCI")
    parts = [fits.PrimaryHDU(header=primary), science]
    if not name:
        parts = [fits.PrimaryHDU(image.astype(np.float32), header)]
    fits.HDUList(parts).writeto(path)
    return np.column_stack(wcs.wcs_pix2world(x, y, 0))


@pytest.mark.parametrize("name", ["SCI", ""])
def test_sources_of_a_product(catalog, run, tmp_path, name):
    places = product(tmp_path / "p_drc.fits", name=name)
    found = asked(catalog, run, f"product:{tmp_path / 'p_drc.fits'}", epoch=2001.0)
    stars = found.stars
    offsets = [3.6e6 * (stars.ra[:, None] - places[:, 0]), 3.6e6 * (stars.dec[:, None] - places[:, 1])]
    nearest = np.hypot(*offsets).argmin(axis=1)
    rows = np.arange(len(nearest))
    assert len(found.stars) > 25
    assert len(set(nearest)) == len(nearest)
    distance = np.hypot(*offsets)[rows, nearest]
    assert np.median(distance) < 1.0
    pulls = offsets[0][rows, nearest] / found.stars.ra_error
    assert 0.3 < np.std(pulls) < 1.5
    assert (found.frame, found.name) == ("GAIA-CRF3", "PDRC")
    np.testing.assert_allclose(found.stars.ref_epoch, 2010.0 if name else 2001.0, atol=0.01)
    assert 0.02 < found.covered_fraction < 0.05  # 25 arcsec square of a circle of 72
    assert asked(catalog, run, f"product:{tmp_path / 'p_drc.fits'}", epoch=2001.0).fetched == ()


def test_a_product_of_a_frame_of_its_own(catalog, run, tmp_path):
    product(tmp_path / "p_drc.fits", wcsname="TWEAK")
    assert asked(catalog, run, f"product:{tmp_path / 'p_drc.fits'}").frame.startswith("product p_drc.fits ")


def test_products_that_will_not_do(catalog, run, tmp_path):
    with pytest.raises(MissingFileError):
        asked(catalog, run, f"product:{tmp_path / 'nothing.fits'}")
    product(tmp_path / "empty_drc.fits", stars=0)
    with pytest.raises(RefusedError, match="no star-like sources on the sky"):
        asked(catalog, run, f"product:{tmp_path / 'empty_drc.fits'}")
    Table({"ra": [1.0]}).write(tmp_path / "table.fits")
    with pytest.raises(UnusableFileError):
        asked(catalog, run, f"product:{tmp_path / 'table.fits'}")
