"""Every parameter of a command by name, and its values to and from text and TOML.

The list is made from the command's dataclasses alone (`ParameterSet`); command line, files, imports and
the form in the terminal all go through it, so that a value is understood and refused alike everywhere.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import MISSING, Field, dataclass, field, fields, is_dataclass, replace
from difflib import get_close_matches
from functools import cached_property
from typing import Any, Literal, get_args, get_origin, get_type_hints

from hapctl.processing.dq_flags import Bits, bad_flags
from hapctl.processing.errors import UsageProblemError

Kind = Literal["bool", "int", "float", "text", "choice", "bits", "floats", "ints"]
Value = bool | int | float | str | tuple[float, ...] | tuple[int, ...] | None

NO_VALUE = ("none", "indef")
"""Words for "no value", in any case."""

_TRUE = ("true", "yes", "on", "1")
_FALSE = ("false", "no", "off", "0")
_EXPECTED: dict[Kind, str] = {
    "bool": "true or false",
    "int": "a whole number",
    "float": "a number",
    "text": "a text",
    "choice": "a choice",
    "bits": "a sum of DQ flags, 64,32 or 64+32, ~4096, or none",
    "floats": "two numbers, such as 3.5 3.0",
    "ints": "two whole numbers, such as 4000 3000",
}


@dataclass(frozen=True)
class Parameter:
    """One parameter, as people and files name it.

    Attributes
    ----------
    step : str
        Its step; empty for those that bear on all of them.
    name : str
    kind : str
        How its values are written.
    optional : bool
        Whether it may have no value.
    default : value
    help, unit : str
    choices : tuple of str
        Empty unless `kind` is ``choice``.
    low, high, above : float or None
        Inclusive limits, and an exclusive one.
    holder : object
        The defaults of its step, or of the whole, which know what they refuse.
    """

    step: str
    name: str
    kind: Kind
    optional: bool
    default: Value
    help: str
    unit: str = ""
    choices: tuple[str, ...] = ()
    low: float | None = None
    high: float | None = None
    above: float | None = None
    holder: Any = field(default=None, compare=False, repr=False)

    @property
    def full_name(self) -> str:
        """``step.name``."""
        return f"{self.step}.{self.name}" if self.step else self.name

    @property
    def limits(self) -> str:
        """Its limits in words; empty without any."""
        words = [
            f"at least {self.low:g}" if self.low is not None else "",
            f"above {self.above:g}" if self.above is not None else "",
            f"at most {self.high:g}" if self.high is not None else "",
        ]
        return " and ".join(word for word in words if word)

    @property
    def allowed(self) -> str:
        """What may be given, in words: choices, or kind and limits."""
        if self.choices:
            return f"one of {', '.join(self.choices)}"
        return ", ".join(part for part in (_EXPECTED[self.kind], self.limits) if part)

    def from_text(self, text: str) -> Value:
        """Return the value that a text stands for, as on the command line and in the form.

        Raises
        ------
        UsageProblemError
            It stands for none, or for one outside the limits.
        """
        stripped = text.strip()
        if self.optional and stripped.lower() in NO_VALUE:
            return None
        try:
            value = _READERS[self.kind](stripped)
        except ValueError:
            raise self.problem(text) from None
        return self.checked(value)

    def from_toml(self, value: Any) -> Value:
        """Return the value that a TOML value stands for; ``"none"`` is no value.

        Raises
        ------
        UsageProblemError
            Its type or its value will not do.
        """
        if isinstance(value, str):
            if self.kind == "text":
                return value
            if self.kind in ("choice", "bits") or value.strip().lower() in NO_VALUE:
                return self.from_text(value)
            raise self.problem(value)
        return self.checked(self._typed(value))

    def _typed(self, value: Any) -> Value:
        if self.kind == "bool" and isinstance(value, bool):
            return value
        if self.kind in ("int", "bits") and _is_whole(value):
            return int(value)
        if self.kind == "float" and _is_number(value):
            return float(value)
        if self.kind in ("floats", "ints") and isinstance(value, list) and len(value) == 2:
            suits = _is_whole if self.kind == "ints" else _is_number
            if all(suits(one) for one in value):
                return tuple(int(one) if self.kind == "ints" else float(one) for one in value)
        raise self.problem(value)

    def checked(self, value: Value) -> Value:
        """Return a value that is allowed; NaN for an optional number is no value."""
        if self.optional and isinstance(value, float) and math.isnan(value):
            return None
        numbers = value if isinstance(value, tuple) else (value,)
        if not all(math.isfinite(one) for one in numbers if isinstance(one, float)):
            raise self.problem(value)
        if self.choices and value not in self.choices:
            raise self.problem(value)
        try:
            if self.kind == "bits":
                bad_flags(value)  # type: ignore[arg-type]
            replace(self.holder, **{self.name: value})
        except UsageProblemError as error:
            raise self.problem(value) from error
        return value

    def problem(self, value: Any) -> UsageProblemError:
        """Return the error that says what a value is and what it should be."""
        shown = value.strip() if isinstance(value, str) else as_text(value) if _is_plain(value) else value
        return UsageProblemError(f"{self.full_name} = {shown} will not do", f"give {self.allowed}")

    def value_in(self, parameters: Any) -> Value:
        """Return its value."""
        holder = getattr(parameters, self.step) if self.step else parameters
        value: Value = getattr(holder, self.name)
        return value


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_plain(value: Any) -> bool:
    return value is None or isinstance(value, bool | int | float | tuple)


def _read_bool(text: str) -> bool:
    if text.lower() in _TRUE:
        return True
    if text.lower() in _FALSE:
        return False
    raise ValueError(text)


def _read_text(text: str) -> str:
    quoted = len(text) > 1 and text[0] == text[-1] and text[0] in "'\""
    return text[1:-1] if quoted else text


def _read_bits(text: str) -> Bits:
    plain = _read_text(text)
    if plain.lower() in NO_VALUE:
        return None
    return int(plain) if plain.isdecimal() else plain


def _pair(text: str) -> list[str]:
    parts = text.strip("[]() ").replace(",", " ").split()
    if len(parts) != 2:
        raise ValueError(text)
    return parts


_READERS: dict[Kind, Any] = {
    "bool": _read_bool,
    "int": int,
    "float": float,
    "text": _read_text,
    "choice": _read_text,
    "bits": _read_bits,
    "floats": lambda text: tuple(float(part) for part in _pair(text)),
    "ints": lambda text: tuple(int(part) for part in _pair(text)),
}


def as_text(value: Value) -> str:
    """Return a value as it is written on the command line; `Parameter.from_text` reads it back."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return " ".join(as_text(one) for one in value)
    return repr(value) if isinstance(value, float) else str(value)


@dataclass(frozen=True)
class ParameterSet:
    """All parameters of a command.

    Attributes
    ----------
    command : str
        Such as ``hapctl drizzle``.
    root : type
        A frozen dataclass: fields that are dataclasses are steps, the others bear on all of them; every
        field but the steps is an `option` (`parameter_fields`).
    example : str
        A setting, for messages.
    about : str
        What people are told who read its file.
    word : str
        What a step is called.
    """

    command: str
    root: Callable[[], Any]
    example: str
    about: str
    word: str = "step"

    @cached_property
    def defaults(self) -> Any:
        """The parameters where nothing says otherwise."""
        return self.root()

    @cached_property
    def steps(self) -> tuple[str, ...]:
        """The names of the steps, in order."""
        names = (one.name for one in fields(self.defaults))
        return tuple(name for name in names if is_dataclass(getattr(self.defaults, name)))

    @cached_property
    def all(self) -> tuple[Parameter, ...]:
        """Every parameter: those that bear on all steps, then those of the steps, in order."""
        steps = (one for step in self.steps for one in _of(step, getattr(self.defaults, step)))
        general = (one for one in _of("", self.defaults) if one.name not in self.steps)
        return (*general, *steps)

    def of(self, step: str) -> tuple[Parameter, ...]:
        """Return the parameters of a step."""
        return tuple(one for one in self.all if one.step == step)

    def title(self, step: str) -> str:
        """Return what a step does, in one line."""
        return str(type(getattr(self.defaults, step)).__doc__).splitlines()[0]

    def find(self, full_name: str) -> Parameter:
        """Return the parameter of that name.

        Raises
        ------
        UsageProblemError
            There is no such step or parameter; names the nearest one.
        """
        found = next((one for one in self.all if one.full_name == full_name), None)
        if found is None:
            raise UsageProblemError(self._unknown(full_name), self._nearest(full_name))
        return found

    def _unknown(self, full_name: str) -> str:
        step = full_name.partition(".")[0]
        if "." in full_name and step not in self.steps:
            return f"there is no {self.word} {step!r}"
        return f"there is no parameter {full_name!r}"

    def _nearest(self, full_name: str) -> str:
        """Return the remedy for a name that is not known."""
        names = [one.full_name for one in self.all]
        step, _, name = full_name.partition(".")
        if "." in full_name and step not in self.steps:
            close: Sequence[str] = get_close_matches(step, self.steps, 1)
            known = f"the {self.word}s are {', '.join(self.steps)}"
            return f"did you mean {close[0]!r}?" if close else known
        elsewhere = [one.full_name for one in self.all if one.name == (name or step)]
        underscored = [one for one in names if one.replace(".", "_") == full_name]
        if full_name in self.steps:
            return f"{step} has {', '.join(one.name for one in self.of(step))}"
        close = underscored or elsewhere or get_close_matches(full_name, names, 1)
        if close:
            return f"did you mean {close[-1]!r}?"
        known = ", ".join(one.name for one in self.of(step))
        return f"{step} has {known}" if known else f"{self.command} --show-config lists all"


def _of(step: str, holder: Any) -> Iterator[Parameter]:
    hints = get_type_hints(type(holder))
    return (_described(step, one, hints[one.name], holder) for one in fields(holder) if one.metadata)


def _described(step: str, one: "Field[Any]", hint: Any, holder: Any) -> Parameter:
    kind, optional = _kind_of(hint)
    about = one.metadata
    default = None if one.default is MISSING else one.default
    return Parameter(
        step,
        one.name,
        kind,
        optional,
        default,
        about["help"],
        about["unit"],
        tuple(about["choices"] or ()),
        about["low"],
        about["high"],
        about["above"],
        holder,
    )


def _kind_of(hint: Any) -> tuple[Kind, bool]:
    parts = get_args(hint)
    if hint == Bits:
        return "bits", True
    if type(None) in parts:
        (inner,) = (part for part in parts if part is not type(None))
        return _kind_of(inner)[0], True
    if get_origin(hint) is Literal:
        return "choice", False
    if get_origin(hint) is tuple:
        return ("ints" if parts[0] is int else "floats"), False
    plain: dict[Any, Kind] = {bool: "bool", int: "int", float: "float", str: "text"}
    return plain[hint], False
