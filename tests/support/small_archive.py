"""A small archive with known answers: four exposures, three visits, fits good and weak, a stale product."""

from dataclasses import dataclass
from datetime import UTC, datetime

from support.catalog_rows import Row, Rows, in_force, past

INGESTED = datetime(2020, 1, 1, tzinfo=UTC)
ALIGNED = datetime(2021, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class SmallArchive:
    """Numbers of what the tests ask for."""

    stale_product: int
    fresh_product: int
    old_solution: int
    aligning_run: int


def small_archive(rows: Rows) -> SmallArchive:
    """Write the archive: j8bt09 (a fit to Gaia, an exposure without), j8bt06 (weak), ib6v01 (relative)."""
    rows.add("run", command="ingest", started=INGESTED)
    _exposure(rows, "j8bt09jcq", 2006)
    old = _solution(rows, "idc")
    _exposure(rows, "j8bt09jdq", 2006)
    unfitted = _solution(rows, "idc")
    rows.add("wcs_active", during=_since(INGESTED))
    _exposure(rows, "j8bt06abq", 2006)
    start = _solution(rows, "idc")

    rows.add("run", command="align", started=ALIGNED)
    rows.add("policy", kind="acceptance", name="standard")
    query = rows.add("reference_query")
    good = _aligned(rows, old, nmatches=28, rms_ra_mas=5.0, rms_dec_mas=6.0)
    weak = _aligned(rows, start, nmatches=6, rms_ra_mas=12.0, rms_dec_mas=9.0)
    rows.add("attempt_reference_query", reference_query_id=query["reference_query_id"])
    _attempt(rows, unfitted, "few_stars", "3 stars match, 8 are needed")
    _relative(rows)

    mixed = _product(rows, "j8bt09", [old], members=[good, unfitted])
    whole = _product(rows, "j8bt06", [weak], members=[weak])
    return SmallArchive(
        mixed["product_id"], whole["product_id"], old["solution_id"], rows.last["run"]["run_id"]
    )


def _since(moment: datetime) -> object:
    return in_force(moment)


def _exposure(rows: Rows, rootname: str, year: int, **given: object) -> Row:
    visit = rootname[:6]
    if rows.last.get("visit", {}).get("visit") != visit:
        rows.add("visit", visit=visit, **{k: v for k, v in given.items() if k == "instrument"})
    run_id = rows.last["run"]["run_id"]
    moment = datetime(year, 3, 13, tzinfo=UTC)
    exposure = rows.add("exposure", rootname=rootname, t_mid=moment, updated_run_id=run_id, **given)
    rows.add("exposure_file")
    rows.add("exposure_file_current")
    return exposure


def _solution(rows: Rows, kind: str, **given: object) -> Row:
    return rows.add("wcs_solution", kind=kind, **given)


def _fit(rows: Rows, exposure_id: int, catalog: str, frame: str, **given: object) -> Row:
    name = f"IDC_abc-FIT_SVM_{catalog}"
    return _solution(
        rows, "fit", exposure_id=exposure_id, wcsname=name, mode="SVM", catalog=catalog, frame=frame, **given
    )


def _aligned(rows: Rows, start: Row, **figures: object) -> Row:
    """Fit an exposure to Gaia: its first solution was in force until then."""
    exposure_id, run_id = start["exposure_id"], rows.last["run"]["run_id"]
    rows.add(
        "wcs_active",
        exposure_id=exposure_id,
        solution_id=start["solution_id"],
        during=past(INGESTED, ALIGNED),
        closed_run_id=run_id,
    )
    fitted = _fit(rows, exposure_id, "GAIADR3", "GAIA-CRF3", **figures)
    visit = rows.connection.exec_driver_sql(
        "SELECT visit FROM exposure WHERE exposure_id = %s", (exposure_id,)
    ).scalar_one()
    rows.add("alignment_group", visit=visit)
    rows.add("wcs_active", exposure_id=exposure_id, during=_since(ALIGNED), origin="align")
    rows.add(
        "alignment_attempt",
        **{"visit": visit, "exposure_id": exposure_id, "outcome": "accepted", "code": "accepted"},
        **{
            "reason": "agrees",
            "solution_id": fitted["solution_id"],
            "from_solution_id": start["solution_id"],
        },
        nmatches=figures["nmatches"],
    )
    return fitted


def _attempt(rows: Rows, start: Row, code: str, reason: str) -> None:
    rows.add(
        "alignment_attempt",
        **{"visit": "j8bt09", "exposure_id": start["exposure_id"], "code": code, "reason": reason},
        from_solution_id=start["solution_id"],
    )


def _relative(rows: Rows) -> None:
    exposure = _exposure(rows, "ib6v01abq", 2012, instrument="WFC3", detector="UVIS")
    _fit(rows, exposure["exposure_id"], "NONE", "group:7", nmatches=40, rms_ra_mas=30.0, rms_dec_mas=4.0)
    rows.add("wcs_active", during=_since(ALIGNED), origin="align")


def _product(rows: Rows, visit: str, inputs: list[Row], members: list[Row]) -> Row:
    grid = {"members": sorted([m["exposure_id"], m["solution_id"]] for m in members)}
    rows.add("product_key", name=f"hst_{visit}_total_drz.fits")
    product = rows.add("product", visit=visit, name=f"hst_{visit}_total_drz.fits", grid=grid)
    for used in inputs:
        file_id = rows.connection.exec_driver_sql(
            "SELECT file_id FROM exposure_file WHERE exposure_id = %s", (used["exposure_id"],)
        ).scalar_one()
        rows.add(
            "product_input",
            exposure_id=used["exposure_id"],
            solution_id=used["solution_id"],
            file_id=file_id,
        )
    rows.add("product_current")
    return product
