"""The form of `hapctl drizzle --edit`, driven as a user drives it."""

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
from hapctl.cli.parameter_form import ParameterForm, row_id
from hapctl.processing.imaging.grid_choice import check_grid_parameters
from hapctl.processing.imaging.parameters import DRIZZLE, DrizzleParameters, FinalParameters
from hapctl.processing.parameter_file import changed, read_parameter_file
from support.commands import run_here
from textual.pilot import Pilot
from textual.widgets import ContentSwitcher, Input, Select, Static, Switch

DEFAULTS = DrizzleParameters()
Drive = Callable[[ParameterForm, Pilot[str]], Coroutine[Any, Any, None]]


def drizzle_form(parameters: DrizzleParameters, target: Path, *, loaded: bool = False) -> ParameterForm:
    """The form of `hapctl drizzle --edit`."""
    return ParameterForm(
        DRIZZLE, parameters, target, loaded=loaded, check=lambda one: check_grid_parameters(one.final)
    )


def driven(form: ParameterForm, drive: Drive) -> str | None:
    """Run a form without a terminal; return how it ended."""

    async def run() -> None:
        async with form.run_test(size=(110, 40)) as pilot:
            await pilot.pause()
            await drive(form, pilot)

    asyncio.run(run())
    return form.return_value


def saved(path: Path) -> DrizzleParameters:
    return changed(DEFAULTS, read_parameter_file(DRIZZLE, path))


def status(form: ParameterForm) -> str:
    return str(form.query_one("#status", Static).content)


def test_every_parameter_has_its_row_with_help_unit_and_default(tmp_path: Path) -> None:
    async def drive(form: ParameterForm, pilot: Pilot[str]) -> None:
        rows = {row.id: row for row in form.rows()}
        assert len(rows) == len(DRIZZLE.all)
        for one in DRIZZLE.all:
            row = rows[row_id(one)]
            shown = str(row.query_one(".help", Static).content)
            assert one.help in shown
            assert all(choice in shown for choice in one.choices)
            editor: Any = {"bool": Switch}.get(one.kind, Select if one.choices else Input)
            assert row.query_one(editor)

    assert driven(drizzle_form(DEFAULTS, tmp_path / "p.toml"), drive) is None


def test_what_is_typed_is_checked_alone_and_together_and_saved(tmp_path: Path) -> None:
    path = tmp_path / "p.toml"

    async def drive(form: ParameterForm, pilot: Pilot[str]) -> None:
        for _ in range(7):
            await pilot.press("ctrl+n")
        assert form.query_one(ContentSwitcher).current == "final"
        pixfrac = form.query_one("#final-pixfrac Input", Input)
        pixfrac.focus()
        await pilot.press("end", "backspace", "backspace", "backspace", "2")
        assert "at most 1" in status(form)
        await pilot.press("ctrl+s")
        assert not path.exists()
        await pilot.press("backspace", *"0.8")
        form.query_one("#final-ra Input", Input).value = "150"
        await pilot.pause()
        assert "final.ra without final.dec" in status(form)
        await pilot.press("ctrl+s")
        assert not path.exists()
        form.query_one("#final-ra Input", Input).value = ""
        form.query_one("#final-kernel Select", Select).value = "turbo"
        form.query_one("#final-context Switch", Switch).value = False
        form.query_one("#final-bits Input", Input).value = "64,32"
        form.query_one("#final-scale Input", Input).value = "0.03"
        await pilot.pause()
        assert "not saved" in status(form)
        await pilot.press("ctrl+s")
        assert status(form) == "nothing is wrong"
        await pilot.press("ctrl+q")

    assert driven(drizzle_form(DEFAULTS, path), drive) == str(path)
    final = FinalParameters(pixfrac=0.8, kernel="turbo", context=False, bits="64,32", scale=0.03)
    assert saved(path) == DrizzleParameters(final=final)
    assert [file.name for file in tmp_path.iterdir()] == ["p.toml"]


def test_a_file_that_was_not_loaded_is_replaced_on_a_second_wish_and_another_name_may_be_given(
    tmp_path: Path,
) -> None:
    path = tmp_path / "p.toml"
    path.write_text("# mine\n")

    async def drive(form: ParameterForm, pilot: Pilot[str]) -> None:
        await pilot.press("ctrl+s")
        assert path.read_text() == "# mine\n"
        await pilot.press("ctrl+s")
        assert saved(path) == DEFAULTS
        form.query_one("#file", Input).value = str(tmp_path / "none" / "q.toml")
        await pilot.press("ctrl+s")
        form.query_one("#file", Input).value = str(tmp_path / "q.toml")
        await pilot.press("ctrl+s", "ctrl+q")

    assert driven(drizzle_form(DEFAULTS, path), drive) == str(tmp_path / "q.toml")
    assert sorted(file.name for file in tmp_path.iterdir()) == ["p.toml", "q.toml"]


def test_a_file_that_was_loaded_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "p.toml"
    path.write_text("# loaded\n")

    async def drive(form: ParameterForm, pilot: Pilot[str]) -> None:
        await pilot.press("ctrl+s")

    driven(drizzle_form(DEFAULTS, path, loaded=True), drive)
    assert saved(path) == DEFAULTS


def test_changes_are_given_up_on_a_second_wish_only_and_a_default_comes_back(tmp_path: Path) -> None:
    async def drive(form: ParameterForm, pilot: Pilot[str]) -> None:
        sigma = form.query_one("#static_mask-sigma Input", Input)
        await pilot.press("ctrl+n")
        sigma.focus()
        sigma.value = "9"
        await pilot.pause()
        await pilot.press("ctrl+q")
        assert form.is_running
        await pilot.press("ctrl+r")
        assert sigma.value == "4.0"
        sigma.value = "8"
        await pilot.press("ctrl+q")

    assert driven(drizzle_form(DEFAULTS, tmp_path / "p.toml"), drive) is None
    assert not (tmp_path / "p.toml").exists()


@pytest.mark.usefixtures("clean_environment")
def test_without_a_terminal_there_is_no_form() -> None:
    done = run_here(("drizzle", "--edit", "--json"))
    assert done.exit_code == 2
    assert "needs a terminal" in done.json()["error"]["message"]
