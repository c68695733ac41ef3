"""The status: what the catalog holds, at a glance."""

import pytest
from hapctl.archive.database import Catalog
from hapctl.archive.runs import recorded_run
from support.catalog_rows import Rows
from support.commands import Runner
from support.small_archive import small_archive


@pytest.fixture
def filled(catalog: Catalog) -> Catalog:
    with catalog.begin() as connection:
        small_archive(Rows(connection))
    return catalog


def test_status_counts_what_is_there(filled: Catalog, run_hapctl: Runner) -> None:
    found = run_hapctl("status", "--json").json()
    assert found["counts"] == {
        **{"proposals": 0, "visits": 3, "exposures": 4, "exposures_not_mosaicked": 0},
        **{"exposures_withdrawn": 0, "files": 0, "solutions": 6, "tiles": 0, "reference_queries": 1},
        **{"alignment_attempts": 3, "products": 2, "stale_products": 1, "runs": 2, "abandoned_runs": 2},
    }
    assert found["frames"] == [
        {"instrument": "ACS", "detector": "HRC", "frame": "GAIA-CRF3", "exposures": 2},
        {"instrument": "ACS", "detector": "HRC", "frame": "not absolute", "exposures": 1},
        {"instrument": "WFC3", "detector": "UVIS", "frame": "not absolute", "exposures": 1},
    ]
    assert found["stale"] == [{"path": "/products/hst_j8bt09_total_drz.fits", "codes": "new, solution"}]


def test_status_shows_the_last_runs_and_how_they_ended(filled: Catalog, run_hapctl: Runner) -> None:
    with recorded_run(filled, "align", {}) as run:
        run.refused("nothing better")
    with recorded_run(filled, "mosaic", {}):
        found = run_hapctl("status", "--json").json()
    outcomes = [(row["command"], row["outcome"]) for row in found["runs"]]
    assert outcomes == [
        *(("mosaic", "running"), ("align", "refused"), ("align", "abandoned"), ("ingest", "abandoned"))
    ]
    assert found["counts"]["abandoned_runs"] == 2
    text = run_hapctl("status").stdout
    assert "align: refused nothing better" in text
    assert "       4 exposures" in text
    assert "/products/hst_j8bt09_total_drz.fits: new, solution" in text
