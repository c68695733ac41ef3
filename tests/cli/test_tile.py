"""`hapctl tile`: geometry for people and programs, without a database."""

import pytest
from support.commands import run_here


def test_tiles_of_a_position_with_negative_declination() -> None:
    result = run_here(("tile", "find", "266.4168", "-29.0078", "--json"))
    assert (result.exit_code, result.stderr) == (0, "")
    names = [tile["name"] for tile in result.json()["tiles"]]
    assert names == ["skycell-p0693x03y15", "skycell-p0694x20y15"]
    plain = run_here(("tile", "find", "266.4168", "-29.0078"))
    assert plain.stdout.split() == names


@pytest.mark.parametrize(
    "arguments", [("find", "10", "91"), ("find", "ten", "0"), ("find", "10"), ("find", "nan", "0")]
)
def test_positions_that_are_none(arguments: tuple[str, ...]) -> None:
    assert run_here(("tile", *arguments)).exit_code == 2


def test_the_grid_of_a_tile() -> None:
    document = run_here(("tile", "show", "p1889x07y19", "--json")).json()
    assert (document["crval"], document["crpix"]) == ([180.0, 26.0], [96492.0, -160812.0])
    assert document["naxis"] == [21954, 21954]
    assert "crpix" in run_here(("tile", "show", "skycell-p1889x07y19")).stdout
    assert run_here(("tile", "show", "p1889x07y29")).exit_code == 3
