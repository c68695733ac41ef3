"""Which visits a command works on: names, patterns, proposals, conditions; and how several of them end."""

import pytest
from hapctl.archive.database import Catalog
from hapctl.archive.errors import CatalogUsageError, NotInCatalogError, RefusedByCatalogError
from hapctl.archive.target_selection import VisitChoice, select_visits
from hapctl.cli.summary import GRAVITY, Ending, gravest, summary_line
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import text
from support.catalog_rows import Rows
from support.small_archive import small_archive


@pytest.fixture
def archive(catalog: Catalog) -> Catalog:
    """The visits ib6v01, j8bt06 and j8bt09 of no known proposal, and jc1201 of proposal 12."""
    with catalog.begin() as connection:
        rows = Rows(connection)
        small_archive(rows)
        rows.add("proposal", proposal_id=12)
        rows.add("visit", visit="jc1201")
        rows.add("exposure", rootname="jc1201abq", visit="jc1201", detector="SBC")
    return catalog


CHOICES = [
    (VisitChoice(every=True), ["ib6v01", "j8bt06", "j8bt09", "jc1201"]),
    (VisitChoice(("j8bt*",)), ["j8bt06", "j8bt09"]),
    (VisitChoice(("J8BT0?", "ib6v01")), ["ib6v01", "j8bt06", "j8bt09"]),
    (VisitChoice(proposals=(12, 13)), ["jc1201"]),
    (VisitChoice(where="nmatches >= 28 -- well fitted"), ["ib6v01", "j8bt09"]),
    (VisitChoice(where="detector = 'HRC' AND absolute"), ["j8bt06", "j8bt09"]),
    (VisitChoice(where="rootname LIKE 'ib6%'"), ["ib6v01"]),
    (VisitChoice(("*9",), where="nmatches >= 28"), ["j8bt09"]),
    (VisitChoice(("j8bt09", "J8BT09", "nosuch")), ["j8bt09", "nosuch"]),
]


@pytest.mark.parametrize(("choice", "visits"), CHOICES)
def test_visits_are_chosen(archive: Catalog, choice: VisitChoice, visits: list[str]) -> None:
    assert select_visits(archive, choice) == visits


@pytest.mark.parametrize(
    "choice",
    [
        VisitChoice(("k*",)),
        VisitChoice(("j8bt_9*",)),
        VisitChoice(("%*",)),
        VisitChoice(("j8bt*", "k*")),
        VisitChoice(proposals=(13,)),
        VisitChoice(("j8bt*",), proposals=(12,)),
        VisitChoice(where="nmatches > 1000"),
    ],
)
def test_what_is_not_there_is_said(archive: Catalog, choice: VisitChoice) -> None:
    with pytest.raises(NotInCatalogError) as caught:
        select_visits(archive, choice)
    assert caught.value.remedy


def test_an_empty_catalog_has_no_visits(catalog: Catalog) -> None:
    with pytest.raises(NotInCatalogError, match="no visit"):
        select_visits(catalog, VisitChoice(every=True))


@pytest.mark.parametrize("condition", ["nosuch = 1", "true; DROP TABLE visit", "'", "count(*) > 1"])
def test_a_wrong_condition_is_a_mistake_in_use(archive: Catalog, condition: str) -> None:
    with pytest.raises(CatalogUsageError) as caught:
        select_visits(archive, VisitChoice(where=condition))
    assert caught.value.message.startswith("--where: ")
    assert "visit_exposure" in caught.value.remedy


def test_a_condition_changes_nothing_and_ends_in_time(archive: Catalog) -> None:
    change = "visit = 'j8bt06') OR nextval('exposure_exposure_id_seq') > 0 --"
    with pytest.raises((RefusedByCatalogError, CatalogUsageError)):
        select_visits(archive, VisitChoice(where=change))
    with pytest.raises(RefusedByCatalogError, match=r"longer than 0\.2 s"):
        select_visits(archive, VisitChoice(where="pg_sleep(5) IS NULL"), timeout_seconds=0.2)


def test_every_column_conditions_may_name_is_there(archive: Catalog) -> None:
    with archive.begin() as connection:
        found = connection.execute(text("SELECT * FROM visit_exposure ORDER BY rootname")).mappings().all()
    assert [row["visit"] for row in found] == ["ib6v01", "j8bt06", "j8bt09", "j8bt09", "jc1201"]
    fitted = next(row for row in found if row["rootname"] == "j8bt09jcq")
    assert (fitted["nmatches"], fitted["absolute"], fitted["withdrawn"]) == (28, True, False)


@given(st.lists(st.sampled_from([0, *GRAVITY])))
def test_the_exit_code_is_that_of_the_gravest_failure(codes: list[int]) -> None:
    code = gravest(codes)
    assert (code == 0) == (not any(codes))
    assert all(GRAVITY.index(code) <= GRAVITY.index(other) for other in codes if other)


def test_a_code_unknown_to_the_order_is_the_gravest() -> None:
    assert gravest([1, 99, 3]) == 99


def test_the_summary_counts_by_outcome() -> None:
    endings = [Ending("a", "made"), Ending("b", "made"), Ending("c", "failed", 3, "not there", "ingest it")]
    assert summary_line(endings) == "3 visits: 2 made, 1 failed"
    assert summary_line(endings[:1], "target") == "1 target: 1 made"
