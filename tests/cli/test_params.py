"""`hapctl params`: shown, explained, changed, carried in files; and which products a change makes stale."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hapctl.archive.server import EmbeddedServer
from support.commands import Result, Runner, run_here
from support.mosaics import small_visit
from support.servers import cloned_database

FILTER = "hst_90001_01_acs_wfc_f606w_jhap01_drc.fits"
TOTAL = "hst_90001_01_acs_wfc_total_jhap01_drc.fits"
EXPOSURES = {f"hst_90001_01_acs_wfc_f606w_jhap01a{number}_drc.fits" for number in (0, 1)}


@pytest.fixture(scope="module")
def made(database_server: EmbeddedServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runner]:
    """Give hapctl on a catalog with the products of a visit."""
    home = tmp_path_factory.mktemp("home")
    with cloned_database(database_server) as url, pytest.MonkeyPatch.context() as patch:
        patch.setenv("HAPCTL_HOME", str(home))
        patch.setenv("HAPCTL_DATABASE_URL", url)
        patch.setenv("XDG_CONFIG_HOME", str(home))

        def run(*arguments: object, code: int = 0) -> Result:
            result = run_here(arguments)
            assert result.exit_code == code, result.stderr
            return result

        run("ingest", *small_visit(tmp_path_factory.mktemp("visit")).files)
        run("mosaic", "--visit", "jhap01")
        yield run


@pytest.fixture
def params(made: Runner) -> Iterator[Runner]:
    yield lambda *arguments, code=0: made("params", *arguments, code=code)
    if in_force(lambda *arguments: made("params", *arguments))[0] != "hap":
        made("params", "activate", "hap")
    if stale(made):
        made("mosaic", "--visit", "jhap01")


def stale(made: Runner) -> set[str]:
    return {one["name"] for one in made("product", "list", "--stale", "--json").json()["products"]}


def test_show_tells_every_value_and_why(params: Runner) -> None:
    params("set", "--detector", "WFC", "--level", "filter", "final.pixfrac=0.6", "--rule", "sharper")
    document = params("show", "--visit", "jhap01", "--json").json()
    products = {one["name"]: one for one in document["products"]}
    assert set(products) == {FILTER, TOTAL, *EXPOSURES}
    why = {one["parameter"]: one for one in products[FILTER]["why"]}
    assert why["final.pixfrac"] == {
        "parameter": "final.pixfrac",
        "value": 0.6,
        "rule": "sharper",
        "overrides": [],
    }
    assert why["final.bits"]["rule"] == "WFC, several"
    assert why["final.bits"]["overrides"] == [{"rule": "WFC", "value": 65535}]
    assert products[FILTER]["drizzle"]["final"]["pixfrac"] == 0.6
    assert products[TOTAL]["drizzle"]["final"]["pixfrac"] == 1.0
    text = params("show", "--visit", "JHAP01", "--why", "--product", "*f606w_jhap01_drc*").stdout
    assert "'WFC, several', over 65535 of 'WFC'" in text
    assert TOTAL not in text
    assert "no rule: AstroDrizzle's default" in params("show", "--visit", "jhap01", "--why", "--every").stdout
    assert params("show", "--visit", "jhap01", "--product", "x*", code=3).stderr.count(FILTER) == 1
    assert "either --visit or --tile" in params("show", code=2).stderr


def test_a_rule_makes_only_those_products_stale_that_it_changes(made: Runner, params: Runner) -> None:
    said = params("set", "--level", "total", "final.kernel=point").stdout
    assert "changes 1 products; 3 stay what they are" in said
    assert stale(made) == {TOTAL}
    statuses = {
        one["name"]: one["status"] for one in made("mosaic", "--visit", "jhap01", "--json").json()["products"]
    }
    assert statuses == {TOTAL: "made", FILTER: "unchanged", **dict.fromkeys(EXPOSURES, "unchanged")}
    assert stale(made) == set()


def test_a_rule_for_masks_makes_their_products_stale_and_is_followed(made: Runner, params: Runner) -> None:
    params("set", "--visit", "jhap*", "cosmic_rays.snr=9 8")
    assert stale(made) == {FILTER, TOTAL}
    planned = {
        one["name"]: one
        for one in made("mosaic", "--visit", "jhap01", "--dry-run", "--json").json()["products"]
    }
    assert planned[FILTER]["drizzle"]["cosmic_rays"]["snr"] == [9.0, 8.0]
    statuses = {
        one["name"]: one["status"] for one in made("mosaic", "--visit", "jhap01", "--json").json()["products"]
    }
    assert statuses == {TOTAL: "made", FILTER: "made", **dict.fromkeys(EXPOSURES, "unchanged")}
    assert stale(made) == set()


def test_a_rule_for_other_products_changes_none(made: Runner, params: Runner) -> None:
    said = params("set", "--detector", "UVIS", "--visit", "i*", "final.bits=0", "--json").json()
    assert (said["products_same"], said["products_other"]) == (4, 0)
    assert stale(made) == set()


def test_a_rule_takes_its_values_from_a_file_of_hap(made: Runner, params: Runner, tmp_path: Path) -> None:
    file = tmp_path / "acs_wfc_astrodrizzle.json"
    step = '"final_kernel": "turbo", "final_bits": "336", "final_units": "counts"'
    file.write_text(f'{{"STEP 7: FINAL": {{{step}}}}}')
    said = params("set", "--level", "total", "--from", file, "final.pixfrac=0.9")
    assert "final.units" in said.stderr
    assert stale(made) == {TOTAL}
    (rule,) = params("diff", "hap", "--json").json()["added"].values()
    assert rule["set"] == {"final.kernel": "turbo", "final.bits": 336, "final.pixfrac": 0.9}


def test_rules_go_out_and_in_as_a_file(made: Runner, params: Runner, tmp_path: Path) -> None:
    file = tmp_path / "rules.toml"
    file.write_text(params("export").stdout)
    same = params("import", file, "--name", "copy", "--json").json()
    assert same == {"name": "copy", "version": 1, "in_force": False, "products_same": 4, "products_other": 0}
    assert params("diff", "hap", "copy").stdout == ""
    file.write_text(file.read_text().replace("final.bits = 336", "final.bits = 80", 1))
    assert params("import", file, "--name", "copy", "--activate", "--json").json()["version"] == 2
    (changed,) = params("diff", "hap", "--json").json()["changed"].items()
    assert changed == ("WFC, several", {"final.bits": [336, 80]})
    assert params("diff", "copy@1", "copy@2").stdout == "~ WFC, several: final.bits: 336 -> 80\n"
    assert stale(made) == {FILTER, TOTAL}
    as_json = tmp_path / "rules.json"
    as_json.write_text(params("export", "copy@1", "--json").stdout)
    assert params("import", as_json, "--json").json()["version"] == 1  # the same rules are the same version


@pytest.mark.parametrize(
    ("before", "after", "line", "words"),
    [
        ("final.bits = 336", "final.bitz = 336", "final.bitz", "no parameter 'final.bitz'"),
        ("sky.bits = 80", "sky.clip = -1", "sky.clip", "at least 0"),
        ('detectors = ["WFC"]', 'detectors = ["WFD"]', '["WFD"]', "'WFD' is not one of detectors"),
        ('name = "WFC"', 'name = "WFC"\ncolour = "red"', "colour", "no condition 'colour'"),
        ('name = "WFC"', "", '[[rule]]\n\ndetectors = ["WFC"]', "without a name"),
    ],
)
def test_a_file_that_will_not_do_is_refused_by_its_line(
    params: Runner, tmp_path: Path, before: str, after: str, line: str, words: str
) -> None:
    file = tmp_path / "rules.toml"
    text = params("export", "hap").stdout.replace(before, after, 1)
    file.write_text(text)
    number = text[: text.index(line)].count("\n") + 1
    refused = params("import", file, "--name", "bad", code=2).stderr
    assert words in refused
    assert f"line {number}" in refused
    assert "bad@" not in params("list").stdout


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("set", "final.pixfrac=7"), 2),
        (("set", "final.scale=0.04"), 2),
        (("set", "--detector", "NICMOS", "final.pixfrac=0.7"), 2),
        (("set", "--name", "hap", "final.pixfrac=0.7"), 2),
        (("set", "--name", "a b", "final.pixfrac=0.7"), 2),
        (("set",), 2),
        (("activate", "nobody"), 3),
        (("activate", "hap@1"), 2),
        (("export", "nobody@2"), 3),
        (("import", "nowhere.toml"), 3),
    ],
)
def test_what_is_refused_changes_nothing(params: Runner, arguments: tuple[str, ...], code: int) -> None:
    before = params("list").stdout
    params(*arguments, code=code)
    assert params("list").stdout == before


def test_rules_of_a_user_stay_in_force_and_get_a_version_for_new_software(
    made: Runner, params: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    params("set", "--level", "total", "final.kernel=point", "--name", "mine")
    made("mosaic", "--visit", "jhap01")
    assert in_force(params) == ("mine", 1)
    monkeypatch.setattr("hapctl.processing.pipeline.engine.version", lambda name: f"99 of {name}")
    made("mosaic", "--visit", "jhap01")
    assert in_force(params) == ("mine", 2)
    assert params("diff", "mine@1", "mine@2").stdout == ""
    params("set", "--level", "total", "final.kernel=turbo")  # the next version of the policy in force
    assert in_force(params) == ("mine", 3)
    monkeypatch.undo()


def in_force(params: Runner) -> tuple[str, int]:
    (line,) = [one for one in params("list", "--json").json()["policies"] if one["since"]]
    return str(line["name"]), int(line["version"])


def test_a_setting_of_a_command_is_kept_with_its_products(
    made: Runner, params: Runner, tmp_path: Path
) -> None:
    """Products asked for with a setting are judged with it: rules that it overrides change nothing."""
    file = tmp_path / "deep.toml"
    file.write_text("[final]\nkernel = 'turbo'\npixfrac = 0.9\n")
    again = made(
        "mosaic", "--visit", "jhap01", "--params", file, "--set", "final.pixfrac=0.7", "--json"
    ).json()
    assert {one["status"] for one in again["products"]} == {"made"}
    shown = made("product", "show", FILTER, "--json").json()["parameters"]
    assert (shown["kernel"], shown["pixfrac"]) == ("turbo", 0.7)
    assert stale(made) == set()
    said: dict[str, Any] = params("set", "final.pixfrac=0.5", "--json").json()
    assert (said["products_same"], said["products_other"]) == (4, 0)
    assert stale(made) == set()


def test_settings_are_refused_before_anything_runs(made: Runner, params: Runner) -> None:
    runs = len(made("sql", "-c", "SELECT run_id FROM run", "--csv").stdout.splitlines())
    for arguments in (
        ("--set", "cosmic_rays.snr=5 4"),
        ("--set", "final.pixfrac=3"),
        ("--params", "none.toml"),
    ):
        made("mosaic", "--visit", "jhap01", *arguments, code=2)
    made("mosaic", "--stale", "--set", "final.pixfrac=0.7", code=2)
    assert len(made("sql", "-c", "SELECT run_id FROM run", "--csv").stdout.splitlines()) == runs
