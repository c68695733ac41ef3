"""GSC 2.4.2, 2MASS and Pan-STARRS1 through the door: units, epochs, errors, and services in trouble."""

import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from hapctl.archive import mast_catalogs
from hapctl.archive.errors import (
    AnswerTooLargeError,
    CatalogUsageError,
    RefusedByCatalogError,
    ServiceUnavailableError,
)
from hapctl.archive.gaia import load_file
from hapctl.archive.gaia_rows import list_queries
from hapctl.archive.reference_catalogs import ReferenceServices, find_catalog, reference_sources
from hapctl.archive.remote_services import RemoteService
from hapctl.archive.runs import recorded_run
from hapctl.archive.sky_region import parse_region
from hapctl.archive.vizier_catalogs import fetch_vizier
from support.http_service import HttpFaults, HttpService
from support.http_service import mast_catalogs as mast_answers
from support.other_catalogs import FIELD, first_panstarrs, gsc_table, second_panstarrs, two_mass_table
from support.tap_service import Faults, TapService, refused_url

RA, DEC, RADIUS = FIELD
REGION = parse_region(f"circle {RA} {DEC} {RADIUS}")


@pytest.fixture(scope="module")
def tables():
    return {"ii/246/out": two_mass_table(), "i/353/gsc242": gsc_table(), "ii/349/ps1": first_panstarrs()}


@pytest.fixture(scope="module")
def objects():
    return second_panstarrs()


@pytest.fixture
def vizier(tables):
    with TapService(dict(tables)) as running:
        yield running


@pytest.fixture
def mast(objects):
    with HttpService(mast_answers(objects)) as running:
        yield running


@pytest.fixture
def run(catalog):
    with recorded_run(catalog, "test", {}) as opened:
        yield opened


def patient(url, **changes):
    return RemoteService(url, **({"timeout": 20.0, "retries": 1, "pause": 0.01} | changes))


def asked(catalog, run, name, service, **options):
    """Ask for the field; a service of TAP is VizieR's, any other is MAST's."""
    kind = "vizier" if isinstance(service, TapService) else "mast"
    services = ReferenceServices(**{kind: patient(service.url, **options)})
    return reference_sources(catalog, run.id, [REGION], name=name, services=services)


def rows_of(table, key, found):
    """Rows of a table in the order of the stars that were found."""
    place = {str(value): row for row, value in enumerate(table[key])}
    return table[[place[star] for star in found.source_id]]


def inside(table, ra, dec):
    near = SkyCoord(table[ra], table[dec], unit="deg").separation(SkyCoord(RA, DEC, unit="deg"))
    return int(np.count_nonzero(near.deg <= RADIUS))


@pytest.mark.parametrize(
    ("spelling", "name", "frame"),
    [
        ("gaia dr3", "GAIADR3", "GAIA-CRF3"),
        ("GAIAEDR3", "GAIAeDR3", "GAIA-CRF3"),
        ("dr2", "GAIADR2", "GAIA-DR2"),
        ("GSC 2.4.2", "GSC242", "GSC242"),
        ("2mass", "2MASS", "2MASS"),
        ("ps1", "PS1DR2", "PS1DR2"),
        ("PS1_DR1", "PS1DR1", "PS1DR1"),
    ],
)
def test_any_spelling_names_a_catalog(spelling, name, frame):
    assert (find_catalog(spelling).name, find_catalog(spelling).frame) == (name, frame)


def test_an_unknown_name_is_a_usage_error():
    with pytest.raises(CatalogUsageError, match="'USNO' is not known") as caught:
        find_catalog("USNO")
    assert "GSC242, 2MASS, PS1DR1, PS1DR2" in caught.value.remedy


def test_two_mass(catalog, run, vizier, tables):
    """Each star has its own epoch, and an error ellipse that is turned."""
    found = asked(catalog, run, "2MASS", vizier)
    stars, rows = found.stars, rows_of(tables["ii/246/out"], "2MASS", found.stars)
    assert len(stars) == inside(tables["ii/246/out"], "RAJ2000", "DEJ2000") == 200
    assert (found.name, found.release, found.frame) == ("2MASS", "2mass", "2MASS")
    np.testing.assert_array_equal(stars.ra, rows["RAJ2000"])
    np.testing.assert_allclose(stars.ref_epoch, 2000 + (rows["JD"] - 2451545.0) / 365.25, atol=1e-6)
    angle = np.radians(rows["errPA"])
    for row in range(5):
        turn = np.array([[np.sin(angle[row]), -np.cos(angle[row])], [np.cos(angle[row]), np.sin(angle[row])]])
        axes = np.diag([rows["errMaj"][row], rows["errMin"][row]]) * 1000.0
        covariance = turn @ axes**2 @ turn.T
        assert stars.ra_error[row] ** 2 == pytest.approx(covariance[0, 0])
        assert stars.dec_error[row] ** 2 == pytest.approx(covariance[1, 1])
        product = stars.correlations[row, 0] * stars.ra_error[row] * stars.dec_error[row]
        assert product == pytest.approx(covariance[0, 1], rel=1e-5, abs=0.01)
    assert np.isnan(stars.pmra).all()
    np.testing.assert_array_equal(stars.phot_g_mean_mag, rows["Jmag"])
    assert vizier.queries[-1].startswith('SELECT * FROM "II/246/out" WHERE')


def test_gsc(catalog, run, vizier, tables):
    """Gaia's part has motions and errors of mas, the plates' part neither."""
    found = asked(catalog, run, "gsc", vizier)
    stars, rows = found.stars, rows_of(tables["i/353/gsc242"], "GSC2", found.stars)
    plates = np.asarray(rows["pmRA"].mask)
    assert 0 < plates.sum() < len(stars)
    np.testing.assert_allclose(stars.ra_error[~plates], 0.2)
    np.testing.assert_allclose(stars.dec_error[~plates], 0.3)
    assert (stars.ra_error[plates] == 300.0).all()
    np.testing.assert_array_equal(stars.pmra[~plates], rows["pmRA"][~plates])
    np.testing.assert_array_equal(stars.pmdec_error[~plates], rows["e_pmDE"][~plates])
    assert np.isnan(stars.pmra[plates]).all()
    np.testing.assert_array_equal(stars.ref_epoch, rows["Epoch"])
    np.testing.assert_array_equal(stars.phot_g_mean_mag, np.where(plates, rows["Vmag"], rows["Gmag"]))


def test_gsc_without_columns_of_errors(catalog, run, vizier, tables):
    """Whatever the table lacks is unknown; what it must have is an error."""
    table = tables["i/353/gsc242"].copy()
    table.remove_columns(["e_RA_ICRS", "e_plx", "Epoch", "Gmag"])
    vizier.tables["i/353/gsc242"] = table
    stars = asked(catalog, run, "GSC242", vizier).stars
    assert set(stars.ref_epoch) == {2015.5}
    known = np.isfinite(stars.pmra)
    assert np.isnan(stars.ra_error[known]).all()
    assert (stars.ra_error[~known] == 300.0).all()
    table.remove_column("GSC2")
    services = ReferenceServices(vizier=patient(vizier.url, retries=0))
    elsewhere = [parse_region("circle 150 2.2 0.01")]
    with pytest.raises(ServiceUnavailableError, match="it has no column GSC2"):
        reference_sources(catalog, run.id, elsewhere, name="GSC242", services=services)


def test_first_panstarrs(catalog, run, vizier, tables):
    found = asked(catalog, run, "PS1DR1", vizier)
    stars, rows = found.stars, rows_of(tables["ii/349/ps1"], "objID", found.stars)
    np.testing.assert_allclose(stars.ra_error, np.hypot(1000.0 * rows["e_RAJ2000"], 5.0))
    np.testing.assert_allclose(stars.ref_epoch, 2000 + (rows["Epoch"] - 51544.5) / 365.25)
    magnitude = np.where(rows["rmag"].mask, rows["gmag"], rows["rmag"])
    np.testing.assert_array_equal(stars.phot_g_mean_mag, magnitude)


def test_second_panstarrs(catalog, run, mast, objects):
    """Through astroquery's own client; what was detected once or twice is not asked for."""
    found = asked(catalog, run, "PS1DR2", mast)
    stars, rows = found.stars, rows_of(objects, "objID", found.stars)
    assert len(stars) == inside(objects[objects["nDetections"] >= 3], "raMean", "decMean")
    assert stars.source_id[0].startswith("1100000000000")
    np.testing.assert_array_equal(stars.ra, rows["raMean"])
    np.testing.assert_allclose(stars.ra_error, np.hypot(1000.0 * rows["raMeanErr"], 5.0))
    unknown = np.asarray(rows["decMeanErr"]) == -999.0
    assert np.isnan(stars.dec_error[unknown]).all()
    assert unknown.any()
    np.testing.assert_allclose(stars.ref_epoch, 2000 + (rows["epochMean"] - 51544.5) / 365.25)
    first = np.asarray(rows["rMeanPSFMag"])
    known = first != -999.0
    np.testing.assert_array_equal(stars.phot_g_mean_mag[known], first[known])
    assert not (stars.phot_g_mean_mag == -999.0).any()
    with catalog.begin() as connection:
        (query,) = list_queries(connection)
    assert (query.source, query.release, query.service) == ("mast", "ps1dr2", mast.url)
    assert "nDetections>=3" in query.question


def test_an_answer_serves_again_and_offline(catalog, run, vizier, mast):
    for name, service in (("2MASS", vizier), ("PS1DR2", mast)):
        first = asked(catalog, run, name, service)
        number = len(service.requests)
        again = asked(catalog, run, name, service)
        offline = reference_sources(catalog, run.id, [REGION], name=name, offline=True)
        assert len(service.requests) == number
        assert again.fetched == ()
        assert first.fetched == first.query_ids == again.query_ids == offline.query_ids
        assert (offline.stars.source_id == first.stars.source_id).all()
    with pytest.raises(RefusedByCatalogError, match="in gsc242") as caught:
        reference_sources(catalog, run.id, [REGION], name="GSC242", offline=True)
    assert caught.value.remedy.endswith("--catalog GSC242")


@pytest.mark.parametrize(
    ("faults", "message"),
    [
        (Faults(failures=-1), "2MASS at http.*status 500"),
        (Faults(drop_rows=1), "rows in place of"),
        (Faults(overflow=True), "the service says that it cut them"),
        (Faults(html=True), "not a VOTable"),
    ],
)
def test_vizier_in_trouble_is_told(vizier, faults, message):
    vizier.faults = faults
    with pytest.raises(ServiceUnavailableError, match=message) as caught:
        fetch_vizier(REGION.circle, "2mass", patient(vizier.url, retries=0))
    assert "HAPCTL_SERVICES_VIZIER" in caught.value.remedy


@pytest.mark.parametrize(
    ("faults", "message"),
    [
        (HttpFaults(failures=-1), "status 503"),
        (HttpFaults(failures=-1, status=404), "status 404"),
        (HttpFaults(failures=-1, status=500), "status 500"),
        (HttpFaults(html=True), "not what the service is known to send"),
        (HttpFaults(cut=0.5), "breaks off"),
        (HttpFaults(hang_up=True), "breaks off|no connection|Remote end closed"),
        (HttpFaults(delay=3.0), "no answer within 0.6 s"),
        (HttpFaults(drip=0.01), "no answer within 0.6 s"),
    ],
)
def test_mast_in_trouble_is_told(mast, faults, message):
    mast.faults = faults
    service = patient(mast.url, retries=0, timeout=0.6 if "within" in message else 20.0)
    with pytest.raises(ServiceUnavailableError, match=message) as caught:
        mast_catalogs.fetch_panstarrs(REGION.circle, "ps1dr2", service)
    assert "--offline" in caught.value.remedy


def test_trouble_leaves_no_row(catalog, run, vizier, mast):
    vizier.faults, mast.faults = Faults(drop_rows=1), HttpFaults(cut=0.5)
    for name, service in (("2MASS", vizier), ("PS1DR2", mast)):
        with pytest.raises(ServiceUnavailableError):
            asked(catalog, run, name, service, retries=0)
    with catalog.begin() as connection:
        assert list_queries(connection) == []


def test_a_refusal_is_not_repeated(mast):
    mast.faults = HttpFaults(failures=-1, status=404)
    with pytest.raises(ServiceUnavailableError):
        mast_catalogs.fetch_panstarrs(REGION.circle, "ps1dr2", patient(mast.url, retries=3))
    assert len(mast.requests) == 1


def test_mast_recovers(catalog, run, mast, objects):
    mast.faults = HttpFaults(failures=1)
    found = asked(catalog, run, "PS1DR2", mast)
    assert len(found.stars) > 100


@pytest.mark.parametrize(
    ("spoilt", "message"),
    [
        ({"cap": 50}, r"after 50 rows there are at least 50 more"),
        ({"stray": True}, r"1 of \d+ rows lie outside"),
    ],
)
def test_what_is_cut_in_silence_or_from_elsewhere_is_found_out(objects, spoilt, message):
    with (
        HttpService(mast_answers(objects, **spoilt)) as service,
        pytest.raises(ServiceUnavailableError, match=message),
    ):
        mast_catalogs.fetch_panstarrs(REGION.circle, "ps1dr2", patient(service.url, retries=0))


def test_a_full_page_is_too_large(mast, monkeypatch):
    monkeypatch.setattr(mast_catalogs, "PAGE_ROWS", 100)
    with pytest.raises(AnswerTooLargeError, match="more than 100 objects"):
        mast_catalogs.fetch_panstarrs(REGION.circle, "ps1dr2", patient(mast.url))


def test_an_empty_field_is_an_answer(catalog, run, mast):
    empty = parse_region("circle 10.0 -89.5 0.001")
    services = ReferenceServices(mast=patient(mast.url))
    found = reference_sources(catalog, run.id, [empty], name="PS1", services=services)
    assert (len(found.stars), found.covered_fraction, len(found.query_ids)) == (0, 1.0, 1)


def test_nobody_listens():
    with pytest.raises(ServiceUnavailableError, match="no connection: Connection refused"):
        mast_catalogs.fetch_panstarrs(REGION.circle, "ps1dr2", patient(refused_url(), retries=0))


def test_a_catalog_without_service_is_a_usage_error(catalog, run):
    with pytest.raises(CatalogUsageError, match="no service is known for GSC242"):
        reference_sources(catalog, run.id, [REGION], name="GSC242", services=ReferenceServices())


# -- files


@pytest.mark.filterwarnings("ignore:.*W03:astropy.io.votable.exceptions.W03")  # a column is called 2MASS
@pytest.mark.parametrize(
    ("name", "release", "ending", "kind"),
    [
        ("2MASS", "2mass", ".vot", "votable"),
        ("GSC242", "gsc242", ".fits", "fits"),
        ("PS1DR1", "ps1dr1", ".ecsv", "ascii.ecsv"),
    ],
)
def test_a_table_of_vizier_is_loaded(catalog, run, tables, tmp_path, name, release, ending, kind):
    """What VizieR's pages give as a file serves like an answer."""
    path = tmp_path / f"field{ending}"
    identifier = {"2mass": "ii/246/out", "gsc242": "i/353/gsc242", "ps1dr1": "ii/349/ps1"}[release]
    tables[identifier].write(path, format=kind)
    loaded = load_file(catalog, run.id, path, name, REGION.circle)
    assert (loaded.release, loaded.rows) == (release, len(tables[identifier]))
    found = reference_sources(catalog, run.id, [REGION], name=name, offline=True, least_fraction=0.85)
    assert len(found.stars) == 200


def test_objects_of_mast_are_loaded(catalog, run, objects, tmp_path):
    objects.write(tmp_path / "objects.csv", format="ascii.csv")
    load_file(catalog, run.id, tmp_path / "objects.csv", "PS1", REGION.circle)
    found = reference_sources(catalog, run.id, [REGION], name="PS1DR2", offline=True, least_fraction=0.85)
    assert len(found.stars) == 200


def test_gaias_names_need_an_epoch_in_other_catalogs(catalog, run, tmp_path):
    path = tmp_path / "stars.csv"
    path.write_text("source_id,ra,dec\n1,150.0,2.0\n")
    with pytest.raises(RefusedByCatalogError, match="there is no ref_epoch in 1 of 1 rows"):
        load_file(catalog, run.id, path, "GSC242", REGION.circle)
    path.write_text("source_id,ra,dec,ref_epoch\n1,150.0,2.0,1999.5\n")
    assert load_file(catalog, run.id, path, "GSC242", REGION.circle).rows == 1
