"""Where an alignment begins: never on a fit, and at the same place when it is repeated."""

from pathlib import Path

import pytest
from astropy.io import fits
from hapctl.archive.database import Catalog
from hapctl.archive.policies import active_policy, ensure_policy
from hapctl.archive.preferences import starting_solutions
from hapctl.archive.runs import recorded_run
from hapctl.processing.astrometry.acceptance import AcceptanceRule
from sqlalchemy import text
from support.commands import Runner
from support.data import data_file
from support.sky_visit import SkyVisit, sky_visit


@pytest.fixture(scope="module")
def visit(tmp_path_factory: pytest.TempPathFactory) -> SkyVisit:
    return sky_visit(tmp_path_factory.mktemp("visit"), exposures=1, seed=4)


def begins_with(catalog: Catalog, rootname: str) -> tuple[str, str]:
    """Names of the solution in force and of the one an alignment begins with."""
    with catalog.begin() as connection:
        number, active = connection.execute(
            text(
                "SELECT e.exposure_id, s.wcsname FROM exposure e JOIN wcs_active a USING (exposure_id) "
                "JOIN wcs_solution s USING (solution_id) WHERE e.rootname = :rootname AND upper_inf(a.during)"
            ),
            {"rootname": rootname},
        ).one()
        start = starting_solutions(connection, [number])[number]
        name = connection.scalar(
            text("SELECT wcsname FROM wcs_solution WHERE solution_id = :start"), {"start": start}
        )
    return str(active), str(name)


def test_a_fit_of_the_archive_is_not_the_start(run_hapctl: Runner, catalog: Catalog) -> None:
    path: Path = data_file("headers/sample_svm_flt.fits")
    rootname = run_hapctl("ingest", path, "--json").json()["files"][0]["rootname"]
    active, start = begins_with(catalog, rootname)
    assert "-FIT_" in active
    assert "-FIT_" not in start
    assert start.split("-")[0] == active.split("-")[0]


def test_own_fits_are_not_the_start(run_hapctl: Runner, catalog: Catalog, visit: SkyVisit) -> None:
    rootname = f"{visit.visit}a0q"
    run_hapctl("ingest", *visit.files)
    run_hapctl("gaia", "load", visit.extract, "--release", "DR3", "--covers", visit.covers)
    name, fitted = "IDC_0461802ej", "IDC_0461802ej-FIT_SVM_GAIADR3"
    assert begins_with(catalog, rootname) == (name, name)
    assert run_hapctl("align", "--visit", visit.visit, "--offline").exit_code == 0
    assert begins_with(catalog, rootname) == (fitted, name)
    run_hapctl("wcs", "activate", rootname, "OPUS", "--reason", "another beginning")
    assert begins_with(catalog, rootname) == ("OPUS", "OPUS")
    run_hapctl("wcs", "activate", rootname, fitted, "--reason", "back")
    assert begins_with(catalog, rootname) == (fitted, name)


def test_a_newer_delivery_is_where_the_next_alignment_begins(
    run_hapctl: Runner, catalog: Catalog, tmp_path: Path
) -> None:
    visit = sky_visit(tmp_path, exposures=1, seed=4)
    rootname, align = f"{visit.visit}a0q", ("align", "--visit", visit.visit, "--offline")
    run_hapctl("ingest", *visit.files)
    run_hapctl("gaia", "load", visit.extract, "--release", "DR3", "--covers", visit.covers)
    assert run_hapctl(*align).exit_code == 0
    with fits.open(visit.files[0], mode="update") as hdus:
        hdus[0].header["DATE"] = "2031-05-01"
        for chip in (1, 2):
            hdus["SCI", chip].header["WCSNAME"] = "IDC_newer0001"
            hdus["SCI", chip].header["CRVAL1"] += 1e-5
    assert run_hapctl("ingest", *visit.files).exit_code == 0
    assert begins_with(catalog, rootname) == ("IDC_0461802ej-FIT_SVM_GAIADR3", "IDC_newer0001")
    assert run_hapctl(*align).exit_code == 0
    assert begins_with(catalog, rootname) == ("IDC_newer0001-FIT_SVM_GAIADR3", "IDC_newer0001")
    again = run_hapctl(*align, "--json").json()["visits"][0]
    assert again["outcome"] == "unchanged"


def test_an_own_rule_of_another_name_is_used(run_hapctl: Runner, catalog: Catalog, visit: SkyVisit) -> None:
    run_hapctl("ingest", *visit.files)
    run_hapctl("gaia", "load", visit.extract, "--release", "DR3", "--covers", visit.covers)
    strict = {**AcceptanceRule().content(), "most_shift_arcsec": 1e-6}
    with recorded_run(catalog, "policy", {}) as run, catalog.begin() as connection:
        ensure_policy(connection, run.id, "acceptance", "no-shift", strict)
    result = run_hapctl("align", "--visit", visit.visit, "--offline", "--json")
    assert result.exit_code == 1
    assert "exceeds the limit of 1e-06 arcsec" in result.json()["visits"][0]["reason"]
    with catalog.begin() as connection:
        policy = active_policy(connection, "acceptance")
        used = connection.scalar(text("SELECT DISTINCT policy_id FROM alignment_attempt"))
    assert policy is not None
    assert (policy.name, policy.policy_id) == ("no-shift", used)
