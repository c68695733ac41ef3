"""The parameters of a command as a form in the terminal: every one with its help, checked while typing."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, ClassVar

from hapctl.processing.errors import UsageProblemError
from hapctl.processing.parameter_file import Change, changed, toml_text
from hapctl.processing.parameter_values import Parameter, ParameterSet, Value, as_text
from hapctl.processing.whole_files import write_whole
from textual import on
from textual.app import App, ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.message import Message
from textual.widgets import ContentSwitcher, Footer, Header, Input, Label, OptionList, Select, Static, Switch
from textual.widgets.option_list import Option

_GENERAL = "general"


class ParameterRow(Vertical):
    """One parameter: its name, the place for its value, its unit and help, and what is wrong with it."""

    class Edited(Message):
        """A value was typed or chosen; it may be wrong."""

    def __init__(self, parameter: Parameter, value: Value) -> None:
        super().__init__(id=row_id(parameter))
        self.parameter = parameter
        self.value: Value = value
        self.problem = ""

    def compose(self) -> ComposeResult:
        """Lay out the row."""
        one = self.parameter
        with Horizontal(classes="line"):
            yield Label(one.name, classes="name")
            yield self._editor()
            yield Label(one.unit, classes="unit")
        yield Static(self._about(), classes="help", markup=False)
        yield Static("", classes="problem", markup=False)

    def _editor(self) -> Switch | Select[str] | Input:
        if self.parameter.kind == "bool":
            return Switch(bool(self.value), animate=False)
        if self.parameter.choices:
            choices = [(choice, choice) for choice in self.parameter.choices]
            return Select(choices, value=str(self.value), allow_blank=False, compact=True)
        return Input(shown(self.value), placeholder="none" if self.parameter.optional else "", compact=True)

    def _about(self) -> str:
        one = self.parameter
        choices = "" if all(choice in one.help for choice in one.choices) else ", ".join(one.choices)
        facts = (choices, one.limits, f"default {shown(one.default) or 'none'}")
        return f"{one.help} ({'; '.join(fact for fact in facts if fact)})"

    @on(Switch.Changed)
    def _switched(self, event: Switch.Changed) -> None:
        event.stop()
        self._take(event.value)

    @on(Select.Changed)
    def _selected(self, event: "Select.Changed") -> None:
        event.stop()
        self._take(event.value)

    @on(Input.Changed)
    def _typed(self, event: Input.Changed) -> None:
        event.stop()
        text = event.value
        if self.parameter.optional and not text.strip():
            self._take(None)
            return
        try:
            self._take(text if self.parameter.kind == "text" else self.parameter.from_text(text))
        except UsageProblemError as error:
            self._take(self.value, error.remedy)

    def _take(self, value: Any, problem: str = "") -> None:
        if (value, problem) == (self.value, self.problem):  # widgets tell of the values they begin with, too
            return
        self.value, self.problem = value, problem
        self.query_one(".problem", Static).update(problem)
        self.set_class(bool(problem), "wrong")
        self.set_class(self.value != self.parameter.default, "changed")
        self.post_message(self.Edited())

    def on_mount(self) -> None:
        """Mark what is not the default."""
        self.set_class(self.value != self.parameter.default, "changed")

    def put(self, value: Value) -> None:
        """Show a value, as if it had been typed."""
        if self.parameter.kind == "bool":
            self.query_one(Switch).value = bool(value)
        elif self.parameter.choices:
            self.query_one(Select).value = str(value)
        else:
            self.query_one(Input).value = shown(value)


class ParameterForm(App[str]):
    """Edits parameters; ends with the name of the file they were saved to, or None.

    Parameters
    ----------
    known : ParameterSet
        All that may be edited.
    parameters : object
        To begin with.
    target : Path
        Where they are saved; another name may be typed.
    loaded : bool
        Whether they came from there: else a file of that name is replaced on a second wish only.
    check : callable
        Raises UsageProblemError where values do not go together.
    """

    CSS = """
    #pages { width: 24; height: 1fr; border: none; background: $panel; padding: 1 1; }
    #form { height: 1fr; }
    VerticalScroll { padding: 1 1 1 2; scrollbar-size-vertical: 1; }
    .title { text-style: bold; color: $accent; margin-bottom: 1; }
    ParameterRow { height: auto; margin-bottom: 1; }
    ParameterRow .line { height: 1; }
    ParameterRow .name { width: 17; text-style: bold; }
    ParameterRow.changed .name { color: $warning; }
    ParameterRow.wrong .name { color: $error; }
    ParameterRow Input, ParameterRow Select { width: 1fr; max-width: 30; background: $surface-lighten-2; }
    ParameterRow Switch { border: none; height: 1; padding: 0; width: auto; background: transparent; }
    ParameterRow Switch:focus { border: none; background: $boost; }
    ParameterRow .unit { width: 11; margin-left: 1; color: $text-muted; }
    ParameterRow .help { margin-left: 17; color: $text-muted; }
    ParameterRow .problem { margin-left: 17; color: $text-error; display: none; }
    ParameterRow.wrong .problem { display: block; }
    #place { height: 1; margin-bottom: 1; }
    #place Label { width: 17; text-style: bold; }
    #place Input { width: 1fr; background: $surface-lighten-2; }
    #status { height: 1; padding: 0 2; background: $panel; color: $text-muted; }
    #status.wrong { color: $text-error; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        ("ctrl+s", "save", "Save"),
        ("ctrl+r", "default", "Reset this one"),
        ("ctrl+n", "page(1)", "Next page"),
        ("ctrl+p", "page(-1)", "Page before"),
        ("ctrl+q", "leave", "Quit"),
    ]
    ENABLE_COMMAND_PALETTE = False

    def __init__(
        self,
        known: ParameterSet,
        parameters: Any,
        target: Path,
        *,
        loaded: bool = False,
        check: Callable[[Any], None] = lambda _: None,
    ) -> None:
        super().__init__()
        self.title = known.command
        self._known = known
        self._check_together = check
        self._titles = page_titles(known)
        self._start = parameters
        self._saved_as = parameters
        self._target = target
        self._loaded = target if loaded else None
        self._asked = ""
        self._saved: str | None = None
        self._rows = [ParameterRow(one, one.value_in(parameters)) for one in known.all]

    def compose(self) -> ComposeResult:
        """Lay out the form: the steps at the left, the parameters of one of them at the right."""
        yield Header(icon="")
        with Horizontal(id="form"):
            yield OptionList(*(Option(title, id=page) for page, title in self._titles.items()), id="pages")
            with ContentSwitcher(initial=_GENERAL):
                for page in self._titles:
                    with VerticalScroll(id=page):
                        yield from self._page(page)
        yield Static("", id="status", markup=False)
        yield Footer(show_command_palette=False)

    def _page(self, page: str) -> Iterable[Any]:
        if page == _GENERAL:
            yield Static("The file, and what bears on all", classes="title", markup=False)
            yield Horizontal(Label("saved as"), Input(str(self._target), id="file", compact=True), id="place")
        else:
            yield Static(self._known.title(page), classes="title", markup=False)
        yield from (row for row in self._rows if page_of(row.parameter) == page)

    def on_mount(self) -> None:
        """Begin with the first step in reach of the keys."""
        self.sub_title = str(self._target)
        self.query_one("#pages", OptionList).highlighted = 0
        self.query_one("#pages").focus()
        self._check()

    @on(OptionList.OptionHighlighted, "#pages")
    def _turn_to(self, event: OptionList.OptionHighlighted) -> None:
        self.query_one(ContentSwitcher).current = event.option.id

    @on(ParameterRow.Edited)
    def _check(self) -> None:
        """Say below what is wrong, here or between parameters."""
        problem = self.problem()
        status = self.query_one("#status", Static)
        status.set_class(bool(problem), "wrong")
        saved = self.parameters() == self._saved_as
        status.update(problem or ("nothing is wrong" if saved else "nothing is wrong; not saved yet"))
        self._mark_pages()

    def _mark_pages(self) -> None:
        """Mark the steps that differ from the default, and those with something wrong."""
        pages = self.query_one("#pages", OptionList)
        for number, page in enumerate(self._titles):
            rows = [row for row in self._rows if page_of(row.parameter) == page]
            mark = "!" if any(row.problem for row in rows) else "•"
            differs = any(row.problem or row.value != row.parameter.default for row in rows)
            title = f"{self._titles[page]:<18}{mark if differs else ''}"
            if str(pages.get_option_at_index(number).prompt) != title:
                pages.replace_option_prompt_at_index(number, title)

    @on(Input.Changed, "#file")
    def _renamed(self, event: Input.Changed) -> None:
        self._target = Path(event.value.strip())
        self.sub_title = event.value.strip()

    def rows(self) -> Sequence[ParameterRow]:
        """Every parameter of the form."""
        return self._rows

    def parameters(self) -> Any:
        """Return what the form says; of wrong values, the last right ones."""
        return changed(self._start, [Change(row.parameter, row.value, "form") for row in self.rows()])

    def problem(self) -> str:
        """Return what is wrong, or an empty text."""
        for row in self.rows():
            if row.problem:
                return f"{row.parameter.full_name}: {row.problem}"
        try:
            self._check_together(self.parameters())
        except UsageProblemError as error:
            return f"{error.message}: {error.remedy}"
        return ""

    def action_save(self) -> None:
        """Write the file, unless something is wrong."""
        problem = self.problem() or ("" if self._target.name else "give a file name")
        if not problem and self._target.exists() and self._target != self._loaded and self._asked != "save":
            self._asked = "save"
            problem = f"{self._target} is there already: save again to replace it"
        if problem:
            self.notify(problem, title="Not saved", severity="error", markup=False)
            return
        try:
            write_whole(self._target, toml_text(self._known, self.parameters()))
        except OSError as error:
            self.notify(
                f"{self._target}: {error.strerror}", title="Not saved", severity="error", markup=False
            )
            return
        self._saved, self._loaded, self._saved_as = str(self._target), self._target, self.parameters()
        self.notify(str(self._target), title="Saved", markup=False)
        self._check()

    def action_default(self) -> None:
        """Put the default into the parameter that has the keys."""
        row = next((row for row in self.rows() if row.has_focus_within), None)
        if row is not None:
            row.put(row.parameter.default)

    def action_page(self, step: int) -> None:
        """Turn to another step."""
        pages = self.query_one("#pages", OptionList)
        pages.highlighted = ((pages.highlighted or 0) + step) % len(self._titles)

    def action_leave(self) -> None:
        """End; changes that are not saved are given up on a second wish only."""
        unsaved = self.problem() or self.parameters() != self._saved_as
        if unsaved and self._asked != "leave":
            self._asked = "leave"
            self.notify("quit again to give the changes up", title="Not saved", severity="warning")
            return
        self.exit(self._saved)


def page_titles(known: ParameterSet) -> dict[str, str]:
    """Return the pages of the form with their titles: a general one, and one for each step."""
    steps = enumerate(known.steps, 1)
    titles = {step: f"{number} {step.replace('_', ' ')}" for number, step in steps}
    return {_GENERAL: "General", **titles}


def page_of(parameter: Parameter) -> str:
    """Return the page of the form that a parameter stands on."""
    return parameter.step or _GENERAL


def row_id(parameter: Parameter) -> str:
    """Return the name of a parameter's row in the form."""
    return parameter.full_name.replace(".", "-")


def shown(value: Value) -> str:
    """Return a value as it stands in the form; nothing for none."""
    return "" if value is None else as_text(value)
