"""`hapctl align` over visits: lists and tiles, ladders, followers, exposures that can't take part."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits
from hapctl.archive.database import Catalog
from hapctl.processing.astrometry.headerlet import headerlet_bytes
from hapctl.processing.astrometry.plane import TangentPlane
from hapctl.processing.pipeline.solution_store import solution_from_catalog
from scipy.ndimage import uniform_filter1d
from sqlalchemy import text
from support.commands import Runner
from support.exposure_files import exposure_file
from support.sky_visit import MJD, SkyVisit, sky_visit

GAIA = "IDC_0461802ej-FIT_{}_GAIADR3"
LADDER = 'kind = "ladder"\nname = "x"\n[content]\nsteps ='


@pytest.fixture(scope="module")
def visits(tmp_path_factory: pytest.TempPathFactory) -> tuple[SkyVisit, SkyVisit]:
    """Two visits to one field."""
    first = sky_visit(tmp_path_factory.mktemp("one"), stars=150, gaia=50)
    second = sky_visit(tmp_path_factory.mktemp("two"), visit="jtest2", exposures=1, stars=150, gaia=50)
    return first, second


@pytest.fixture
def hapctl(run_hapctl: Runner, visits: tuple[SkyVisit, SkyVisit]) -> Runner:
    """Run hapctl on a catalog that holds both visits and the stars."""
    first, second = visits
    assert run_hapctl("ingest", *first.files, *second.files).exit_code == 0
    loaded = run_hapctl("gaia", "load", first.extract, "--release", "DR3", "--covers", first.covers)
    assert loaded.exit_code == 0, loaded.stderr
    return run_hapctl


def ask(catalog: Catalog, statement: str, **names: Any) -> list[Any]:
    with catalog.begin() as connection:
        return list(connection.execute(text(statement), names))


def in_force(catalog: Catalog) -> dict[str, tuple[str, str]]:
    rows = ask(catalog, "SELECT rootname, wcsname, frame FROM active_solution ORDER BY 1")
    return {row.rootname: (row.wcsname, row.frame) for row in rows}


def active(catalog: Catalog, rootname: str) -> Any:
    [(number,)] = ask(
        catalog,
        "SELECT a.solution_id FROM wcs_active a JOIN exposure e USING (exposure_id) "
        "WHERE e.rootname = :rootname AND upper_inf(a.during)",
        rootname=rootname,
    )
    with catalog.begin() as connection:
        return solution_from_catalog(connection, number)


def test_exposures_of_two_visits_are_solved_together(
    hapctl: Runner, catalog: Catalog, visits: tuple[SkyVisit, SkyVisit]
) -> None:
    names = ("jtest1a0q", "jtest1a1q", "jtest2a0q")
    result = hapctl("align", "--exposures", *names, "--offline", "--json")
    assert result.exit_code == 0, result.stderr
    [report] = result.json()["exposure_lists"]
    assert report["exposures"]
    assert report["outcome"] == "accepted"
    assert in_force(catalog) == dict.fromkeys(names, (GAIA.format("REL"), "GAIA-CRF3"))
    for visit in visits:
        for rootname in visit.truth:
            assert visit.error_mas(active(catalog, rootname)) < 1.0
    [group] = ask(catalog, "SELECT * FROM alignment_group")
    assert (group.scope, group.scope_name, group.visit) == ("exposures", " ".join(names), None)
    check_members(catalog)
    check_words(hapctl)
    check_queries(hapctl)
    check_a_member_alone(hapctl, catalog)


def check_members(catalog: Catalog) -> None:
    """Each member has its guide-star set, prior, correction and covariance, about its own centre."""
    rows = ask(
        catalog,
        "SELECT m.*, e.rootname, e.visit FROM alignment_member m JOIN exposure e USING (exposure_id) "
        "ORDER BY rootname",
    )
    sets = [row.guide_star_set for row in rows]
    assert sets[0] == sets[1] != sets[2]
    for row in rows:
        covariance = np.array(row.covariance).reshape(6, 6)
        assert np.allclose(covariance, covariance.T)
        assert np.all(np.linalg.eigvalsh(covariance[:4, :4]) > 0)
        assert 0.0 < row.common_floor_mas < row.predicted_error_mas < 1.0
        assert row.prior["pointing"] == 1.0
        assert "guide stars of GSC1" in row.prior["why"]
        offset = TangentPlane(150.0, 2.2).project_sky(*np.array(row.centre)[:, None])
        assert np.hypot(*offset[0]) < 15.0
    stars = ask(
        catalog,
        "SELECT m.group_star, count(DISTINCT m.source_id) AS identities, count(*) AS seen FROM star_match m "
        "WHERE m.group_star IS NOT NULL GROUP BY 1",
    )
    assert max(star.identities for star in stars) == 1
    assert max(star.seen for star in stars) == 3


def check_words(hapctl: Runner) -> None:
    words = hapctl("wcs", "why", "jtest2a0q").stdout
    assert "solved for it jointly" in words
    assert "with jtest1a0q and jtest1a1q" in words
    assert "1 arcsec in pointing" in words
    assert "predicted to be right to" in words
    joint = hapctl("wcs", "why", "jtest1a0q", "--json").json()["joint"]
    assert joint["set_members"] == ["jtest1a1q"]


def check_queries(hapctl: Runner) -> None:
    sets = hapctl("query", "guide-star-sets", "--json").json()
    assert len(sets) == 3
    epochs = hapctl("query", "residuals-by-epoch", "--json").json()
    assert len(epochs) == 3
    assert hapctl("query", "weak-fits", "--json").json() == []
    weak = hapctl("query", "weak-fits", "--param", "max_error_mas=0.001", "--json").json()
    assert len(weak) == 3
    trends = hapctl("query", "residuals-by-magnitude", "--json").json()
    assert trends
    assert hapctl("query", "why-visit-failed", "--param", "visit=jtest1").exit_code == 0


def check_a_member_alone(hapctl: Runner, catalog: Catalog) -> None:
    """Put in force without the others, a member has a frame of its own until they follow."""
    for rootname in ("jtest1a0q", "jtest1a1q", "jtest2a0q"):
        assert hapctl("wcs", "activate", rootname, "OPUS", "--reason", "back").exit_code == 0
    name = GAIA.format("REL")
    activated = hapctl("wcs", "activate", "jtest1a0q", name, "--reason", "alone")
    assert in_force(catalog)["jtest1a0q"] == (name, "GAIA-CRF3: jtest1a0q alone")
    assert "(frame GAIA-CRF3: jtest1a0q alone)" in activated.stdout
    assert "in force without others" in activated.stderr
    for rootname in ("jtest1a1q", "jtest2a0q"):
        assert hapctl("wcs", "activate", rootname, name, "--reason", "too").exit_code == 0
    assert set(in_force(catalog).values()) == {(name, "GAIA-CRF3")}


def test_a_tile_takes_all_exposures_that_touch_it(hapctl: Runner, catalog: Catalog) -> None:
    [(tile,)] = ask(
        catalog,
        "SELECT c.name FROM solution_sky_cell t JOIN sky_cell c USING (sky_cell_id) "
        "JOIN wcs_active a USING (solution_id) GROUP BY 1 HAVING count(*) = 3 ORDER BY 1 LIMIT 1",
    )
    for outcome in ("accepted", "unchanged"):
        result = hapctl("align", "--tile", tile, "--offline", "--json")
        assert result.exit_code == 0, result.stderr
        [report] = result.json()["tiles"]
        assert (report["tile"], report["outcome"]) == (tile, outcome)
        assert {name for name, _ in in_force(catalog).values()} == {GAIA.format("MVM")}
    assert ask(catalog, "SELECT scope, visit FROM alignment_group") == [("tile", None)]
    assert hapctl("align", "--tile", "skycell-p0000x01y01", "--offline").exit_code == 3


def test_one_exposure_alone_is_an_image_fit(hapctl: Runner, catalog: Catalog) -> None:
    assert hapctl("align", "--exposures", "jtest2a0q", "--offline").exit_code == 0
    assert in_force(catalog)["jtest2a0q"][0] == GAIA.format("IMG")
    assert hapctl("align", "--exposures", "jtest2a0q", "--catalog", "none").exit_code == 1
    assert in_force(catalog)["jtest2a0q"][0] == GAIA.format("IMG")
    assert hapctl("align", "--exposures", "jtest9a0q").exit_code == 3


def test_a_ladder_is_data(
    hapctl: Runner, catalog: Catalog, visits: tuple[SkyVisit, SkyVisit], tmp_path: Path
) -> None:
    other = visits[0].extract
    assert hapctl("gaia", "load", other, "--release", "DR2", "--covers", visits[0].covers).exit_code == 0
    document = {
        "kind": "ladder",
        "name": "mine",
        "content": {
            "steps": [
                {"catalog": "GAIADR2", "rule": {"most_shift_arcsec": 1e-6, "least_stars": 5000}},
                {"catalog": "GAIA", "methods": ["histogram"], "geometries": ["shift", "rshift", "general"]},
            ]
        },
    }
    path = tmp_path / "ladder.json"
    path.write_text(json.dumps(document))
    assert hapctl("align", "policies", "set", path).exit_code == 0
    result = hapctl("align", "--visit", "jtest1", "--ladder", "mine", "--offline", "--json")
    assert result.exit_code == 0, result.stderr
    rows = ask(
        catalog,
        "SELECT DISTINCT t.ladder_step, p.name, t.catalog, t.geometry, t.outcome FROM alignment_attempt t "
        "JOIN policy p ON p.policy_id = t.ladder_policy_id WHERE t.outcome = 'accepted' "
        "OR t.ladder_step = 1 ORDER BY 1",
    )
    assert next(tuple(row)[:3] for row in rows) == (1, "mine", "GAIADR2")
    assert rows[0].outcome == "refused"
    assert rows[-1].catalog == "GAIADR3"
    assert rows[-1].geometry in ("rshift", "general")
    assert active(catalog, "jtest1a0q").keywords["FITGEOM"] == rows[-1].geometry
    assert hapctl("align", "policies", "activate", "ladder", "mine").exit_code == 0
    listed = hapctl("align", "policies", "list", "--json").json()["policies"]
    assert [line["name"] for line in listed if line["kind"] == "ladder" and line["since"]] == ["mine"]
    again = hapctl("align", "--visit", "jtest1", "--offline", "--json").json()["visits"][0]
    assert again["outcome"] == "unchanged"
    assert hapctl("align", "policies", "activate", "ladder", "ladder-default").exit_code == 0
    shown = hapctl("align", "policies", "show", "ladder").stdout
    assert json.loads(shown)["content"]["steps"][0]["catalog"] == "GAIA"


def test_policies_that_are_none_are_refused(hapctl: Runner, tmp_path: Path) -> None:
    path = tmp_path / "policy.toml"
    cases = {
        'kind = "ladder"\nname = "x"\n[content]\nsteps = [{catalog = "GAIA", methods = ["magic"]}]': "magic",
        'kind = "ladder"\nname = "x"\n[content]\nstep = []': "list of steps",
        'kind = "acceptance"\nname = "x"\n[content]\nmost_rms_mas = "many"': "most_rms_mas",
        'kind = "acceptance"\nname = "x"\n[content]\nnix = 1': "nix",
        'kind = "preference"\nname = "x"\n[content]\nstart = "IDC_*"': "start",
        'kind = "products"\nname = "x"\n[content]\na = 1': "no kind of policy",
        "kind =": "Invalid value",
        'kind = "ladder"\nname = "x"\n[content]\nsteps = [{catalog = "GIAA"}]': "GIAA",
        'kind = "ladder"\nname = "x"\n[content]\nsteps = [{catalog = 5}]': "is not one",
        'kind = "ladder"\nname = "x"\n[content]\nsteps = [{catalog = "GAIA", rule = 3}]': "is not one",
        f'{LADDER} [{{catalog = "GAIA", rule = {{least_stars = "x"}}}}]': "least_stars",
        'kind = "acceptance"\nname = "x"\n[content]\nmost_rms_mas = nan': "most_rms_mas",
    }
    for content, told in cases.items():
        path.write_text(content)
        result = hapctl("align", "policies", "set", path)
        assert result.exit_code == 2, content
        assert told in result.stderr
    assert hapctl("align", "policies", "set", tmp_path / "nowhere.json").exit_code == 3
    assert hapctl("align", "--visit", "jtest1", "--ladder", "nowhere").exit_code == 3
    assert hapctl("align", "--visit", "jtest1", "--set", "rule.nix=1").exit_code == 2
    assert hapctl("align").exit_code == 2
    assert hapctl("align", "policies", "activate", "ladder", "align-default").exit_code == 2
    assert hapctl("align", "--visit", "jtest1", "--catalog", "none").exit_code == 0
    assert hapctl("align", "policies", "activate", "acceptance", "align-default@1").exit_code == 2
    assert hapctl("align", "policies", "activate", "acceptance", "align-default").exit_code == 0


def test_a_ladder_may_begin_without_a_catalog(hapctl: Runner, catalog: Catalog, tmp_path: Path) -> None:
    path = tmp_path / "ladder.json"
    steps = [{"catalog": "NONE", "rule": {"most_rms_mas": 1e-6}}, {"catalog": "GAIA"}]
    path.write_text(json.dumps({"kind": "ladder", "name": "mine", "content": {"steps": steps}}))
    assert hapctl("align", "policies", "set", path, "--activate").exit_code == 0
    result = hapctl("align", "--visit", "jtest1", "--offline", "--json")
    assert result.exit_code == 0, result.stderr
    assert in_force(catalog)["jtest1a0q"][0] == GAIA.format("SVM")
    rows = ask(catalog, "SELECT code, reason FROM alignment_attempt WHERE ladder_step = 1")
    assert "no-catalog" not in {row.code for row in rows}
    assert not any("no catalog was asked for" in row.reason for row in rows)


def test_a_preference_says_where_an_alignment_begins(hapctl: Runner, tmp_path: Path) -> None:
    path = tmp_path / "preference.toml"
    path.write_text('kind = "preference"\nname = "telescope"\n[content]\nstart = ["OPUS", "in-force"]\n')
    assert hapctl("align", "policies", "set", path, "--activate").exit_code == 0
    planned = hapctl("align", "--visit", "jtest2", "--dry-run", "--catalog", "none", "--json").json()
    start = planned["visits"][0]["exposures"][0]["reason"]
    assert start.startswith("from IDC_0461802ej")  # OPUS has another distortion than what is in force
    assert hapctl("wcs", "activate", "jtest2a0q", "OPUS", "--reason", "by hand").exit_code == 0
    planned = hapctl("align", "--visit", "jtest2", "--dry-run", "--catalog", "none", "--json").json()
    assert planned["visits"][0]["exposures"][0]["reason"].startswith("from OPUS")


def test_a_fit_delivered_with_a_newer_distortion_brings_that(
    hapctl: Runner, catalog: Catalog, tmp_path: Path
) -> None:
    """A newer file has a fit as its WCS, and what that began with as a headerlet: that is the start."""
    assert hapctl("align", "--visit", "jtest1", "--offline").exit_code == 0
    again = hapctl("align", "--visit", "jtest1", "--dry-run", "--offline", "--json").json()
    assert again["visits"][0]["exposures"][0]["reason"].startswith("from IDC_0461802ej,")
    known = active(catalog, "jtest1a0q")
    fitted = replace(known, name="IDC_9991802ej-FIT_SVM_GAIAeDR3", keywords={})
    start = headerlet_bytes(replace(known, name="IDC_9991802ej-GSC240", keywords={}), suffix="flc")
    primary = {
        "FILTER1": "F606W",
        "EXPSTART": MJD - 0.001,
        "EXPEND": MJD + 0.001,
        "DATE": "2031-01-01T00:00:00",
    }
    path = tmp_path / "jtest1a0q_flc.fits"
    path.write_bytes(exposure_file(fitted, primary=primary, headerlets=[start]))
    assert hapctl("ingest", path).exit_code == 0
    assert in_force(catalog)["jtest1a0q"][0] == GAIA.format("SVM")
    planned = hapctl("align", "--visit", "jtest1", "--dry-run", "--offline", "--json").json()
    starts = [one["reason"].split(",")[0] for one in planned["visits"][0]["exposures"]]
    assert starts == ["from IDC_9991802ej-GSC240", "from IDC_0461802ej"]


def changed(file: Path, folder: Path, pixels: Any) -> Path:
    """A copy of a file whose SCI pixels are changed."""
    path = folder / file.name
    with fits.open(file) as hdus:
        for extver in (1, 2):
            hdus["SCI", extver].data = pixels(hdus["SCI", extver].data).astype(np.float32)
        hdus.writeto(path)
    return path


def test_exposures_that_cannot_take_part_are_told_by_name(
    run_hapctl: Runner, catalog: Catalog, visits: tuple[SkyVisit, SkyVisit], tmp_path: Path
) -> None:
    made = sky_visit(tmp_path / "four", exposures=4, stars=150, gaia=50)
    trailed = changed(made.files[2], tmp_path, lambda image: uniform_filter1d(image, 9, axis=1))
    empty = changed(made.files[3], tmp_path, lambda image: np.full_like(image, 30.0))
    assert run_hapctl("ingest", *made.files[:2], trailed, empty).exit_code == 0
    run_hapctl("gaia", "load", made.extract, "--release", "DR3", "--covers", made.covers)
    result = run_hapctl("align", "--visit", made.visit, "--offline", "--json")
    assert result.exit_code == 0, result.stderr
    exposures = {e["rootname"]: e for e in result.json()["visits"][0]["exposures"]}
    codes = {name: (e["outcome"], e["code"]) for name, e in exposures.items()}
    assert codes == {
        "jtest1a0q": ("accepted", "accepted"),
        "jtest1a1q": ("accepted", "accepted"),
        "jtest1a2q": ("refused", "trailed"),
        "jtest1a3q": ("refused", "no-sources"),
    }
    assert "the telescope moved" in exposures["jtest1a2q"]["reason"]
    assert in_force(catalog)["jtest1a2q"][0] == "IDC_0461802ej"


def test_grism_exposures_follow_their_direct_images(
    run_hapctl: Runner, catalog: Catalog, tmp_path: Path
) -> None:
    made = sky_visit(tmp_path, exposures=3, stars=150, gaia=50)
    with fits.open(made.files[2], mode="update") as hdus:
        hdus[0].header["FILTER1"] = "G800L"
        hdus[0].header["EXPSTART"] += 0.01
        hdus[0].header["EXPEND"] += 0.01
    assert run_hapctl("ingest", *made.files).exit_code == 0
    run_hapctl("gaia", "load", made.extract, "--release", "DR3", "--covers", made.covers)
    before = active(catalog, "jtest1a2q")
    assert run_hapctl("align", "--visit", made.visit, "--offline").exit_code == 0
    assert in_force(catalog)["jtest1a2q"] == (GAIA.format("SVM"), "GAIA-CRF3")
    after, direct = active(catalog, "jtest1a2q"), active(catalog, "jtest1a0q")
    assert after.keywords["NMATCHES"] == 0
    [attempt] = ask(
        catalog,
        "SELECT t.* FROM alignment_attempt t JOIN exposure e USING (exposure_id) "
        "WHERE e.rootname = 'jtest1a2q'",
    )
    assert attempt.metrics["direct_image"] in ("jtest1a0q", "jtest1a1q")
    assert "not fitted" in attempt.reason
    assert after.chips[0].crval != before.chips[0].crval
    assert direct.name == after.name
    assert "not fitted" in run_hapctl("wcs", "why", "jtest1a2q").stdout
    again = run_hapctl("align", "--visit", made.visit, "--offline", "--json").json()["visits"][0]
    assert {e["outcome"] for e in again["exposures"]} == {"unchanged"}
    refused = run_hapctl(
        "align", "--visit", made.visit, "--offline", "--set", "rule.most_rms_mas=1e-9", "--json"
    )
    outcomes = {e["rootname"]: e["outcome"] for e in refused.json()["visits"][0]["exposures"]}
    assert outcomes == {"jtest1a0q": "refused", "jtest1a1q": "refused", "jtest1a2q": "excluded"}
    assert in_force(catalog)["jtest1a2q"] == (GAIA.format("SVM"), "GAIA-CRF3")


def test_jitter_files_tell_guide_star_sets(
    run_hapctl: Runner, catalog: Catalog, visits: tuple[SkyVisit, SkyVisit], tmp_path: Path
) -> None:
    first = visits[0]
    for number, star in enumerate(("N1", "N2")):
        header = fits.Header({"DGESTAR": star, "SGESTAR": "N9"})
        fits.PrimaryHDU(header=header).writeto(tmp_path / f"jtest1a{number}q_spt.fits")
    run_hapctl("ingest", *first.files)
    run_hapctl("gaia", "load", first.extract, "--release", "DR3", "--covers", first.covers)
    assert run_hapctl("align", "--visit", "jtest1", "--offline", "--jit", tmp_path).exit_code == 0
    sets = ask(catalog, "SELECT DISTINCT guide_star_set FROM alignment_member")
    assert len(sets) == 2
    (tmp_path / "jtest1a0q_spt.fits").write_text("no FITS")
    assert run_hapctl("align", "--visit", "jtest1", "--offline", "--jit", tmp_path).exit_code == 1
