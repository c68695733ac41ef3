"""Gaia sources through the service and the catalog's cache."""

import socket

import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from hapctl.archive import tap_answers
from hapctl.archive.errors import (
    AnswerTooLargeError,
    CatalogUsageError,
    NotInCatalogError,
    RefusedByCatalogError,
    ServiceUnavailableError,
)
from hapctl.archive.gaia import load_file, visit_regions
from hapctl.archive.gaia_rows import answer_sha256, list_queries
from hapctl.archive.gaia_service import RELEASES, fetch_sources, find_release
from hapctl.archive.reference_answers import EXTRA_ARCSEC
from hapctl.archive.reference_catalogs import ReferenceServices, reference_sources
from hapctl.archive.remote_services import RemoteService
from hapctl.archive.runs import recorded_run
from hapctl.archive.sky_region import Region, parse_region
from hapctl.processing.astrometry.reference_stars import ReferenceStars, reference_stars
from sqlalchemy import text
from support.gaia_table import second_release, synthetic_sky
from support.tap_service import Faults, TapService, refused_url

RA, DEC, RADIUS = 150.0, 2.0, 0.05
CIRCLE = f"circle {RA} {DEC} {RADIUS}"


@pytest.fixture(scope="module")
def sky():
    return synthetic_sky(RA, DEC, RADIUS, 200)


@pytest.fixture
def service(sky):
    tables = {
        "gaiadr3.gaia_source": sky,
        "gaiaedr3.gaia_source": sky,
        "gaiadr2.gaia_source": second_release(sky),
        "gaiadr2.ruwe": sky["source_id", "ruwe"][::2],
    }
    with TapService(tables) as running:
        yield running


@pytest.fixture
def run(catalog):
    with recorded_run(catalog, "test", {}) as opened:
        yield opened


def patient(service, **changes):
    return RemoteService(service.url, **({"timeout": 30.0, "retries": 2, "pause": 0.01} | changes))


def sources_for(catalog, run_id, regions, *, release="gaiadr3", service=None, **options):
    services = service and ReferenceServices(gaia=service)
    return reference_sources(catalog, run_id, regions, name=release, services=services, **options)


def expected_in(sky, ra, dec, radius):
    distance = SkyCoord(sky["ra"], sky["dec"], unit="deg").separation(SkyCoord(ra, dec, unit="deg")).deg
    return sorted(str(value) for value in sky["source_id"][distance <= radius])


def count(catalog, table):
    statements = {
        "query": "SELECT count(*) FROM reference_query",
        "source": "SELECT count(*) FROM reference_source",
    }
    with catalog.begin() as connection:
        return connection.scalar(text(statements[table]))


# -- fetching


def test_the_answer_is_that_of_the_table(service, sky):
    circle = parse_region(CIRCLE).circle
    fetched = fetch_sources(circle, RELEASES["gaiadr3"], patient(service))
    stars = fetched.stars
    assert sorted(stars.source_id) == expected_in(sky, RA, DEC, RADIUS)
    row = sky[[str(value) for value in sky["source_id"]].index(stars.source_id[0])]
    assert stars.ra[0] == row["ra"]
    assert stars.pmdec_error[0] == row["pmdec_error"] or np.ma.is_masked(row["pmdec_error"])
    assert stars.correlations[0, 0] == row["ra_dec_corr"]
    assert fetched.question == service.queries[-1]
    assert service.queries[0].startswith("SELECT COUNT(*)")
    assert "TOP" not in fetched.question


@pytest.mark.parametrize(
    ("name", "release", "epoch"),
    [("DR3", "gaiadr3", 2016.0), ("GAIAeDR3", "gaiaedr3", 2016.0), ("gaia_dr2", "gaiadr2", 2015.5)],
)
def test_the_release_is_selectable(service, name, release, epoch):
    known = find_release(name)
    stars = fetch_sources(parse_region(CIRCLE).circle, known, patient(service)).stars
    assert known.name == release
    assert f"FROM {release}.gaia_source" in service.queries[-1]
    assert set(stars.ref_epoch) == {epoch}
    known = np.isfinite(stars.ruwe)
    assert known.any()
    assert known.all() != (release == "gaiadr2")


def test_an_unknown_release_is_a_usage_error():
    with pytest.raises(CatalogUsageError, match="'DR9'"):
        find_release("DR9")


def test_two_failures_are_overcome(service, caplog):
    service.faults = Faults(failures=2)
    stars = fetch_sources(parse_region(CIRCLE).circle, RELEASES["gaiadr3"], patient(service)).stars
    assert len(stars) == 200
    assert [record.getMessage()[:17] for record in caplog.records] == ["Gaia: status 500 "] * 2


def test_attempts_are_bounded(service):
    service.faults = Faults(failures=-1)
    with pytest.raises(ServiceUnavailableError, match="status 500"):
        fetch_sources(parse_region(CIRCLE).circle, RELEASES["gaiadr3"], patient(service, retries=3))
    assert service.requests == ["POST /async"] * 4


def test_a_refusal_is_not_repeated(service):
    elsewhere = RemoteService(service.url.replace("/tap-server/tap", "/elsewhere"), pause=0.01)
    with pytest.raises(ServiceUnavailableError, match="status 404"):
        fetch_sources(parse_region(CIRCLE).circle, RELEASES["gaiadr3"], elsewhere)
    assert len(service.requests) == 1


FAULTS = {
    "failing": (Faults(failures=-1), "status 500"),
    "slow": (Faults(answer_delay=0.4), "no answer within"),
    "never done": (Faults(endless=True), "no answer within"),
    "cut in silence": (Faults(drop_rows=7), "{less_7} rows in place of {all}"),
    "cut by one row": (Faults(drop_rows=1), "{less_1} rows in place of {all}"),
    "cut and owned up": (Faults(drop_rows=7, overflow=True), "the service says that it cut them"),
    "complete, but marked as cut": (Faults(overflow=True), "the service says that it cut them"),
    "counting too many": (Faults(count_error=5), "{all} rows in place of {more_5}"),
    "counting too few": (Faults(count_error=-5), "{less_4} rows in place of {less_5}"),
    "rows from elsewhere": (Faults(stray_rows=3), "3 of {all} rows lie outside"),
    "a row twice": (Faults(repeat_rows=True), "come more than once"),
    "malformed": (Faults(malformed=True), "not a VOTable"),
    "a page in place of a table": (Faults(html=True), "not a VOTable"),
    "job in error": (Faults(job_error=True), "out of connections"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_wrong_answer_leaves_no_row(service, catalog, run, sky, name):
    service.faults, template = FAULTS[name]
    number = len(expected_in(sky, RA, DEC, RADIUS + EXTRA_ARCSEC / 3600))
    figures = {f"less_{less}": number - less for less in (1, 4, 5, 7)}
    timeout = 0.3 if "within" in template else 30.0
    message = template.format(all=number, more_5=number + 5, **figures)
    with pytest.raises(ServiceUnavailableError, match=message) as caught:
        sources_for(
            catalog, run.id, [parse_region(CIRCLE)], service=patient(service, timeout=timeout, retries=1)
        )
    assert caught.value.exit_code == 4
    assert "--offline" in caught.value.remedy
    assert count(catalog, "query") == count(catalog, "source") == 0


def test_nobody_listens(catalog, run):
    with pytest.raises(ServiceUnavailableError, match="Connection refused"):
        sources_for(
            catalog,
            run.id,
            [parse_region(CIRCLE)],
            service=RemoteService(refused_url(), retries=1, pause=0.01),
        )
    assert count(catalog, "query") == 0


def test_nothing_of_two_regions_is_kept_when_the_second_fails(service, catalog, run, monkeypatch):
    first = tap_answers._attempt
    monkeypatch.setattr(tap_answers, "_attempt", lambda *args: spoil_after(service, first(*args)))
    regions = [parse_region(CIRCLE), parse_region("circle 150 2.2 0.01")]
    with pytest.raises(ServiceUnavailableError):
        sources_for(catalog, run.id, regions, service=patient(service, retries=0))
    assert count(catalog, "query") == 0


def spoil_after(service, answer):
    service.faults = Faults(failures=-1)
    return answer


def test_a_field_beyond_reason_is_too_large(service, catalog, run, monkeypatch):
    monkeypatch.setattr(tap_answers, "LARGEST_ANSWER", 199)
    with pytest.raises(AnswerTooLargeError, match=r"holds 2\d\d Gaia sources, more than 199") as caught:
        sources_for(catalog, run.id, [parse_region(CIRCLE)], service=patient(service))
    assert caught.value.exit_code == 5
    assert len(service.queries) == 1
    assert count(catalog, "query") == 0


# -- the cache


def test_an_answer_is_kept_with_its_question(service, catalog, run, sky):
    found = sources_for(catalog, run.id, [parse_region(CIRCLE)], service=patient(service))
    assert sorted(found.stars.source_id) == expected_in(sky, RA, DEC, RADIUS)
    assert found.covered_fraction == 1.0
    assert found.fetched == found.query_ids
    with catalog.begin() as connection:
        (query,) = list_queries(connection)
    assert query.question == service.queries[-1]
    assert query.service == service.url
    assert query.run_id == run.id
    assert query.region == f"circle {RA} {DEC} {round(RADIUS + EXTRA_ARCSEC / 3600, 7)}"
    assert (
        query.n_rows
        == count(catalog, "source")
        == len(expected_in(sky, RA, DEC, RADIUS + EXTRA_ARCSEC / 3600))
    )


def test_what_is_known_is_not_asked_again(service, catalog, run):
    first = sources_for(catalog, run.id, [parse_region(CIRCLE)], service=patient(service))
    asked = len(service.requests)
    moved = parse_region(f"circle {RA} {DEC + 4 / 3600} {RADIUS}")
    second = sources_for(catalog, run.id, [parse_region(CIRCLE)], service=patient(service))
    third = sources_for(catalog, run.id, [moved], service=patient(service))
    assert len(service.requests) == asked
    assert count(catalog, "query") == 1
    assert second.query_ids == third.query_ids == first.query_ids
    assert second.fetched == third.fetched == ()
    assert (second.stars.source_id == first.stars.source_id).all()
    assert set(third.stars.source_id) != set(first.stars.source_id)


def test_another_release_or_a_larger_field_is_asked(service, catalog, run, sky):
    sources_for(catalog, run.id, [parse_region(CIRCLE)], service=patient(service))
    earlier = sources_for(
        catalog, run.id, [parse_region(CIRCLE)], release="GAIADR2", service=patient(service)
    )
    assert count(catalog, "query") == 2
    assert set(earlier.stars.ref_epoch) == {2015.5}
    larger = sources_for(
        catalog, run.id, [parse_region(f"circle {RA} {DEC} {2 * RADIUS}")], service=patient(service)
    )
    assert count(catalog, "query") == 3
    assert sorted(larger.stars.source_id) == expected_in(sky, RA, DEC, 2 * RADIUS)


def test_rows_come_back_as_they_went_in(service, catalog, run):
    circle = parse_region(CIRCLE).circle.widened(EXTRA_ARCSEC)
    sent = fetch_sources(circle, RELEASES["gaiadr3"], patient(service)).stars
    got = sources_for(catalog, run.id, [Region(((RA, DEC),), circle.radius)], service=patient(service)).stars
    kept = sent[np.isin(sent.source_id, got.source_id)]
    assert (kept.source_id == got.source_id).all()
    for name in ReferenceStars.__dataclass_fields__:
        if name not in ("source_id", "correlations"):
            assert np.array_equal(getattr(kept, name), getattr(got, name), equal_nan=True), name
    assert np.allclose(kept.correlations, got.correlations, atol=1e-7, equal_nan=True)
    assert answer_sha256(kept) == answer_sha256(kept[::-1])
    assert answer_sha256(kept) != answer_sha256(kept[1:])


def test_regions_that_overlap_give_each_star_once(service, catalog, run, sky):
    regions = [parse_region(CIRCLE), parse_region(f"circle {RA} {DEC + 0.03} {RADIUS}")]
    found = sources_for(catalog, run.id, regions, service=patient(service))
    both = set(expected_in(sky, RA, DEC, RADIUS)) | set(expected_in(sky, RA, DEC + 0.03, RADIUS))
    assert sorted(found.stars.source_id) == sorted(both)
    assert len(found.query_ids) == 2


# -- offline


def test_offline_opens_no_socket(service, catalog, run, monkeypatch):
    online = sources_for(catalog, run.id, [parse_region(CIRCLE)], service=patient(service))

    def refuse(*args, **kwargs):
        raise AssertionError("a socket was opened")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "create_connection", refuse)
    offline = sources_for(catalog, run.id, [parse_region(CIRCLE)], service=patient(service), offline=True)
    assert (offline.stars.source_id == online.stars.source_id).all()
    assert offline.covered_fraction == 1.0


def test_offline_refuses_a_field_that_is_not_known(service, catalog, run):
    with pytest.raises(RefusedByCatalogError, match=r"covers 0\.0 % of the field") as caught:
        sources_for(catalog, run.id, [parse_region(CIRCLE)], offline=True)
    assert caught.value.exit_code == 1
    radius = round(RADIUS + EXTRA_ARCSEC / 3600, 7)
    assert caught.value.remedy == (
        f'run: hapctl gaia fetch --region "circle {RA} {DEC} {radius}" --catalog GAIADR3'
    )
    assert service.requests == []


@pytest.mark.parametrize(("offset", "fraction"), [(0.005, 0.94), (0.02, 0.75), (0.05, 0.39)])
def test_offline_uses_what_is_covered_and_says_how_much(service, catalog, run, sky, offset, fraction):
    """Two circles of one radius, a known distance apart: the lens between them."""
    wide = RemoteService(service.url, pause=0.01)
    sources_for(catalog, run.id, [parse_region(f"circle {RA} {DEC} {RADIUS}")], service=wide)
    region = parse_region(f"circle {RA} {DEC + offset + EXTRA_ARCSEC / 3600} {RADIUS}")
    answer = parse_region(f"circle {RA} {DEC} {round(RADIUS + EXTRA_ARCSEC / 3600, 7)}").circle
    if fraction < 0.9:
        with pytest.raises(RefusedByCatalogError, match="less than 90 %"):
            sources_for(catalog, run.id, [region], offline=True)
    found = sources_for(catalog, run.id, [region], offline=True, least_fraction=fraction - 0.04)
    assert found.covered_fraction == pytest.approx(fraction, abs=0.03)
    wanted = expected_in(sky, region.circle.ra, region.circle.dec, RADIUS)
    in_answer = expected_in(sky, answer.ra, answer.dec, answer.radius)
    assert sorted(found.stars.source_id) == sorted(set(wanted) & set(in_answer))


def test_two_answers_cover_together(service, catalog, run):
    for north in (-0.03, 0.03):
        place = parse_region(f"circle {RA} {DEC + north} {RADIUS}")
        sources_for(catalog, run.id, [place], service=patient(service))
    middle = parse_region(f"circle {RA} {DEC} 0.03")
    found = sources_for(catalog, run.id, [middle], offline=True)
    assert len(found.query_ids) == 2
    assert found.covered_fraction == 1.0
    assert len(set(found.stars.source_id)) == len(found.stars)


# -- files


@pytest.fixture
def extract(tmp_path, sky):
    path = tmp_path / "extract.ecsv"
    inside = SkyCoord(sky["ra"], sky["dec"], unit="deg").separation(SkyCoord(RA, DEC, unit="deg")).deg < 0.06
    sky["source_id", "ra", "dec", "pmra", "pmdec"][inside].write(path, format="ascii.ecsv")
    return path


def test_a_file_serves_offline(catalog, run, extract, sky):
    loaded = load_file(catalog, run.id, extract, "DR3", parse_region(CIRCLE).circle)
    assert loaded.rows_outside > 0
    found = sources_for(catalog, run.id, [parse_region(CIRCLE)], offline=True)
    assert found.query_ids == (loaded.query_id,)
    assert sorted(found.stars.source_id) == expected_in(sky, RA, DEC, RADIUS)
    assert np.isnan(found.stars.ra_error).all()
    assert np.isnan(found.stars.pmra).any()
    assert set(found.stars.ref_epoch) == {2016.0}


def test_the_same_file_again_changes_nothing(catalog, run, extract):
    first = load_file(catalog, run.id, extract, "DR3", parse_region(CIRCLE).circle)
    again = load_file(catalog, run.id, extract, "gaiadr3", parse_region(CIRCLE).circle)
    assert (first.unchanged, again.unchanged) == (False, True)
    assert again.query_id == first.query_id
    assert count(catalog, "query") == 1
    load_file(catalog, run.id, extract, "DR3", parse_region("circle 150 2 0.04").circle)
    load_file(catalog, run.id, extract, "DR2", parse_region(CIRCLE).circle)
    assert count(catalog, "query") == 3


def test_files_that_are_refused_leave_no_row(catalog, run, extract, tmp_path):
    with pytest.raises(RefusedByCatalogError, match="none of its"):
        load_file(catalog, run.id, extract, "DR3", parse_region("circle 10 2 0.05").circle)
    with pytest.raises(NotInCatalogError, match="no file"):
        load_file(catalog, run.id, tmp_path / "nothing.ecsv", "DR3", parse_region(CIRCLE).circle)
    (tmp_path / "bad.csv").write_text("source_id,ra,dec\n1,150,2\n1,150,2\n")
    with pytest.raises(RefusedByCatalogError, match=r"bad\.csv is refused: 1 source_id come more than once"):
        load_file(catalog, run.id, tmp_path / "bad.csv", "DR3", parse_region(CIRCLE).circle)
    (tmp_path / "empty.csv").write_text("source_id,ra,dec\n")
    with pytest.raises(RefusedByCatalogError):
        load_file(catalog, run.id, tmp_path / "empty.csv", "DR3", parse_region(CIRCLE).circle)
    assert count(catalog, "query") == 0


def test_a_visit_that_is_not_there(catalog):
    with catalog.begin() as connection, pytest.raises(NotInCatalogError, match="visit 'j8bt09'"):
        visit_regions(connection, "j8bt09")


def test_the_hash_of_an_answer_tells_every_value():
    stars = reference_stars([1.0, 2.0], [3.0, 4.0], ruwe=[1.0, np.nan])
    other = reference_stars([1.0, 2.0], [3.0, 4.0], ruwe=[1.0, 1.0])
    assert answer_sha256(stars) != answer_sha256(other)
