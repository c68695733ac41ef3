"""The demo on two exposures of the smallest detector: complete, true, repeatable, honest about what fails."""

import json
from pathlib import Path

import pytest
from hapctl.cli import demo as module
from support.commands import Result, run_here


@pytest.fixture
def two_exposures(monkeypatch: pytest.MonkeyPatch, clean_environment: None) -> None:
    smaller = ("--seed", "16", "--small", "--detector", "ir", "--filters", "F160W")
    monkeypatch.setattr(module, "SIMULATION", smaller)
    monkeypatch.setattr(module, "VISIT", "ihap01")


def run_demo(folder: Path, *options: str) -> Result:
    return run_here(("demo", "--output", folder, *options))


def test_the_demo_shows_an_alignment_true_to_a_mas_and_can_be_repeated(
    tmp_path: Path, two_exposures: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Whatever catalog the user has, the demo leaves it alone.
    monkeypatch.setenv("HAPCTL_DATABASE_URL", "postgresql://nobody@127.0.0.1:9/none")
    first = run_demo(tmp_path / "demo", "--json")
    assert first.exit_code == 0, first.stderr
    report = first.json()
    assert report["passed"]
    assert report["server_stopped"]
    assert len(report["alignment"]) == 2
    for exposure in report["alignment"]:
        assert exposure["delivered_rms_mas"] > 100
        assert exposure["rms_mas"] < 1.0
        assert exposure["wcsname"] == "IDC_hapsimiri-FIT_SVM_GAIADR3"
    kinds = [product["kind"] for product in report["products"]]
    assert sorted(kinds) == ["exposure", "exposure", "filter", "layer", "layer", "total"]
    assert all(Path(product[key]).exists() for product in report["products"] for key in ("path", "preview"))
    assert all(Path(picture).exists() for picture in report["pictures"])
    cycle = report["cycle"]
    assert cycle["exposure"] == "ihap01a1q"
    assert sorted(cycle["stale"]) == sorted(product["name"] for product in report["products"])
    assert len(cycle["made_without"]) == 5  # the sixth, of the exposure withdrawn, is retired
    assert sorted(cycle["made_again"]) == sorted(cycle["stale"])
    assert (cycle["same_pixels"], cycle["left"]) == (6, 0)
    assert len(report["questions"]) == 3
    assert all(question["rows"] for question in report["questions"])
    assert {row["state"] for row in report["questions"][2]["rows"]} == {"current"}

    again = run_demo(tmp_path / "demo")
    assert again.exit_code == 0, again.stderr
    assert "2 unchanged" in again.stdout
    assert "withdraw" not in again.stdout
    assert again.stdout.count("current ") >= 4
    assert "mas rms at worst" in again.stdout
    assert "hapctl --home" in again.stdout


def test_a_step_that_fails_ends_the_demo_with_its_reason(
    tmp_path: Path, two_exposures: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SIMULATION", ("--filters", "F999W"))
    done = run_demo(tmp_path / "demo", "--json")
    assert done.exit_code == 2
    assert "no such filter: F999W" in json.loads(done.stdout)["error"]["message"]
