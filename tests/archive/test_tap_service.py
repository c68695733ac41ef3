"""The TAP service the tests ask: a wrong query must give a wrong answer, and other clients understand it."""

import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.table import Table
from pyvo.dal import DALQueryError, TAPService
from support.adql import QueryError, execute
from support.gaia_table import synthetic_sky
from support.tap_service import TapService

NAME = "gaiadr3.gaia_source"


@pytest.fixture(scope="module")
def sky():
    return synthetic_sky(359.99, -60.0, 0.05, 80)


def ids(table):
    return sorted(int(value) for value in table["source_id"])


def asked(sky, condition):
    return ids(execute(f"SELECT source_id FROM {NAME} WHERE {condition}", {NAME: sky}))


def test_conditions_select_what_numpy_selects(sky):
    ra, dec, magnitude = (np.array(sky[name]) for name in ("ra", "dec", "phot_g_mean_mag"))
    known = ~sky["pmra"].mask
    motion = np.array(sky["pmra"])
    distance = SkyCoord(ra, dec, unit="deg").separation(SkyCoord(359.99, -60.0, unit="deg")).deg
    numbers = np.array(sky["source_id"])
    cases = {
        "1 = CONTAINS(POINT('ICRS', ra, dec), CIRCLE('ICRS', 359.99, -60, 0.05))": distance <= 0.05,
        "CONTAINS(POINT(ra, dec), CIRCLE(POINT(359.99, -60), 0.02)) = 1": distance <= 0.02,
        "DISTANCE(POINT(ra, dec), POINT(359.99, -60)) < 0.1": distance < 0.1,
        "phot_g_mean_mag BETWEEN 14 AND 15.5": (magnitude >= 14) & (magnitude <= 15.5),
        "phot_g_mean_mag NOT BETWEEN 14 AND 15.5": (magnitude < 14) | (magnitude > 15.5),
        "pmra > 0": known & (motion > 0),
        "NOT pmra > 0": known & (motion <= 0),
        "pmra IS NULL AND dec < -60": ~known & (dec < -60),
        "pmra IS NOT NULL": known,
        "ra > 180 OR (dec > 0 AND phot_g_mean_mag < 2 * 7 + 1)": (ra > 180) | ((dec > 0) & (magnitude < 15)),
        f"source_id = {numbers[7]}": numbers == numbers[7],
        "SQRT(ABS(dec)) < 3 AND COS(RADIANS(dec)) > 0.99": (np.sqrt(np.abs(dec)) < 3)
        & (np.cos(np.radians(dec)) > 0.99),
    }
    for condition, rows in cases.items():
        assert 0 < np.count_nonzero(rows) < len(sky) or "IS NOT" in condition, condition
        assert asked(sky, condition) == ids(sky[rows]), condition


def test_polygons_across_ra_zero(sky):
    square = "POLYGON('ICRS', 359.95, -60.02, 0.03, -60.02, 0.03, -59.98, 359.95, -59.98)"
    ra = (np.array(sky["ra"]) + 180) % 360 - 180
    x, y = (ra + 0.01) * 0.5, np.array(sky["dec"]) + 60
    well_inside = (np.abs(x) < 0.0199) & (np.abs(y) < 0.0199)
    well_outside = (np.abs(x) > 0.0201) | (np.abs(y) > 0.0201)
    found = np.isin(np.array(sky["source_id"]), asked(sky, f"1 = CONTAINS(POINT(ra, dec), {square})"))
    assert well_inside.sum() > 10
    assert found[well_inside].all()
    assert not found[well_outside].any()


def test_columns_limits_order_and_count(sky):
    rows = execute(f"SELECT TOP 5 source_id, g.dec FROM {NAME} AS g ORDER BY dec", {NAME: sky})
    assert rows.colnames == ["source_id", "dec"]
    assert list(rows["dec"]) == sorted(sky["dec"])[:5]
    assert execute(f"SELECT COUNT(*) AS n FROM {NAME}", {NAME: sky})["n"][0] == len(sky)


@pytest.mark.parametrize(
    "query",
    [
        f"SELECT colour FROM {NAME}",
        "SELECT ra FROM gaiadr9.gaia_source",
        f"SELECT ra FROM {NAME} WHERE radius < 3",
        f"SELECT ra FROM {NAME} WHERE 1 = CONTAINS(POINT('ICRS', ra, dec))",
        f"SELECT ra FROM {NAME} WHERE 1 = CONTAINS(POINT('FK4', ra, dec), CIRCLE('ICRS', 1, 2, 3))",
        f"SELECT ra FROM {NAME} WHERE ra <",
        f"SELECT ra FROM {NAME} WHERE ra < 3 dec > 1",
        f"DELETE FROM {NAME}",
        f"SELECT ra FROM {NAME}; DROP TABLE run",
    ],
)
def test_mistakes_are_errors(sky, query):
    with pytest.raises(QueryError):
        execute(query, {NAME: sky})


def test_pyvo_understands_the_service(sky):
    query = f"SELECT source_id, pmra FROM {NAME} WHERE dec < -59.95 AND dec > -60.05 AND ra > 359.8"
    with TapService({NAME: sky}) as service:
        client = TAPService(service.url)
        expected = asked(sky, "dec < -59.95 AND dec > -60.05 AND ra > 359.8")
        assert ids(client.run_async(query).to_table()) == expected
        assert ids(client.run_sync(query).to_table()) == expected
        for ask in (client.run_sync, client.run_async):
            with pytest.raises(DALQueryError, match="unknown column 'colour'"):
                ask(query.replace("pmra", "colour"))


def test_a_synchronous_answer_is_cut_as_at_the_gaia_archive():
    many = Table({"source_id": np.arange(2500)})
    with TapService({NAME: many}) as service, pytest.warns(Warning, match="truncated"):
        assert len(TAPService(service.url).run_sync(f"SELECT source_id FROM {NAME}")) == 2000
