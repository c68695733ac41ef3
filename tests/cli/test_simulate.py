"""`hapctl simulate` as a user meets it."""

import json
from pathlib import Path

import pytest
from astropy.table import Table
from support.commands import run_here


def test_json_lists_what_was_made(tmp_path: Path) -> None:
    options = "--exposures 1 --filters f606w --seed 5 --stars 50 --dec -72.1 --masks --json"
    done = run_here(("simulate", tmp_path / "out", *options.split()))
    assert done.exit_code == 0
    report = done.json()
    assert [entry["rootname"] for entry in report["files"]] == ["jhap01a0q"]
    assert report["files"][0]["filter"] == "F606W"
    assert report["covers"].startswith("circle 152.000000 -72.100000 0.0")
    made = {path.name for path in (tmp_path / "out").iterdir()}
    assert made == {
        *("jhap01a0q_flc.fits", "jhap01a0q_rays.fits", "gaia_extract.ecsv"),
        *("truth.json", "truth.ecsv", "sky.ecsv"),
    }
    named = [report[key] for key in ("gaia_extract", "truth", "stars", "sky")] + [report["files"][0]["path"]]
    assert all(Path(path).exists() for path in named)
    assert json.loads(Path(report["truth"]).read_text())["seed"] == 5
    assert set(Table.read(report["gaia_extract"])["ref_epoch"]) == {2016.0}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--filters", "F999W"), "no such filter: F999W"),
        (("--visit", "nonsense"), "not an ACS visit"),
        (("--detector", "ir", "--visit", "jhap01"), "not a WFC3 visit"),
        (("--detector", "uvis", "--filters", "F160W"), "no such filter: F160W"),
        (("--detector", "hrc"), "is not one of"),
        (("--exposures", "0"), "0 is not in the range"),
        (("--dec", "-91"), "not in the range"),
        (("--filters", "F606W,F814W", "--exposures", "469"), "469"),
    ],
)
def test_wrong_usage_is_exit_code_2(tmp_path: Path, arguments: tuple[str, ...], words: str) -> None:
    done = run_here(("simulate", tmp_path / "out", *arguments, "--json"))
    assert done.exit_code == 2
    assert words in done.json()["error"]["message"]
    assert not (tmp_path / "out").exists()


def test_both_detectors_of_wfc3(tmp_path: Path) -> None:
    out = tmp_path / "out"
    options = "--detector both --small --exposures 1 --filters F606W,F160W --stars 20"
    done = run_here(("simulate", out, *options.split()))
    assert done.exit_code == 0
    assert done.stdout.split() == [str(out / "ihap01a0q_flc.fits"), str(out / "ihap01a1q_flt.fits")]
    assert f"hapctl ingest {out}/*_fl?.fits" in done.stderr


def test_paths_on_stdout_and_the_next_steps_on_stderr(tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = run_here(("simulate", out, "--exposures", 1, "--filters", "F814W", "--stars", 10))
    assert done.exit_code == 0
    assert done.stdout == f"{out / 'jhap01a0q_flc.fits'}\n"
    assert "hapctl gaia load" in done.stderr
