"""The parameters of a command in TOML: a table a step, every line documented; and single settings.

What is written is read back to the same parameters. Values come from several places; each `Change` keeps
where it came from, so that an error names the file and the line, or the option.
"""

import re
import textwrap
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar, cast

from hapctl.processing.errors import UsageProblemError
from hapctl.processing.parameter_values import Parameter, ParameterSet, Value

WIDTH = 100
_TABLE = re.compile(r"\s*\[\s*([^\[\]]+?)\s*\]\s*(#.*)?$")
_KEY = re.compile(r"""\s*((?:[\w-]+|"[^"]*"|'[^']*')(?:\s*\.\s*(?:[\w-]+|"[^"]*"|'[^']*'))*)\s*=""")
Kind = TypeVar("Kind")


@dataclass(frozen=True)
class Change:
    """A value given to a parameter, and by what: an option, or a line of a file."""

    parameter: Parameter
    value: Value
    origin: str


def changed(parameters: Kind, changes: Iterable[Change]) -> Kind:
    """Return parameters with changes made in their order: the last one holds.

    Examples
    --------
    >>> changed(DrizzleParameters(), [parse_setting(DRIZZLE, "final.pixfrac=0.8")]).final.pixfrac
    0.8
    """
    for one in changes:
        value: dict[str, Any] = {one.parameter.name: one.value}
        step = one.parameter.step
        if step:
            value = {step: replace(getattr(parameters, step), **value)}
        parameters = cast("Kind", replace(cast("Any", parameters), **value))
    return parameters


def parse_setting(known: ParameterSet, text: str) -> Change:
    """Read ``step.name=value``.

    Raises
    ------
    UsageProblemError
        It is no setting, names no parameter, or its value will not do.
    """
    name, equals, value = text.partition("=")
    origin = f"--set {text}"
    if not equals:
        raise UsageProblemError(origin, f"write --set {known.word}.name=value, such as --set {known.example}")
    with _named(origin):
        parameter = known.find(name.strip())
        return Change(parameter, parameter.from_text(value), origin)


def read_parameter_file(known: ParameterSet, path: Path) -> list[Change]:
    """Read the changes that a TOML file holds.

    Raises
    ------
    UsageProblemError
        It can't be read, is not TOML, or has a name or a value that will not do; names the line.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise UsageProblemError(f"{path} can't be read: {error.strerror}", "check --config") from error
    except UnicodeDecodeError as error:
        raise UsageProblemError(f"{path} is not TOML: {error}", "correct the file") from error
    return parse_parameters(known, text, str(path))


def parse_parameters(known: ParameterSet, text: str, name: str) -> list[Change]:
    """Read the changes that a TOML text holds; `name` is for messages."""
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UsageProblemError(f"{name} is not TOML: {error}", "correct the file") from error
    lines = _lines_of_names(text)
    changes = []
    for full_name, value in _flat(document, known.steps):
        line = lines.get(full_name) or lines.get(full_name.partition(".")[0])
        origin = f"{name}, line {line}" if line else name
        with _named(origin):
            parameter = known.find(full_name)
            changes.append(Change(parameter, parameter.from_toml(value), origin))
    return changes


@contextmanager
def _named(origin: str) -> Iterator[None]:
    """Put where a value came from in front of what is wrong with it."""
    try:
        yield
    except UsageProblemError as error:
        raise UsageProblemError(f"{origin}: {error.message}", error.remedy) from error


def _flat(document: Mapping[str, Any], steps: Sequence[str]) -> Iterator[tuple[str, Any]]:
    for name, value in document.items():
        if not isinstance(value, dict):
            yield name, value
            continue
        if name not in steps:
            yield f"{name}.{next(iter(value), '')}", value  # named as what it is: no step
        for inner, one in value.items():
            yield f"{name}.{inner}", one


def _lines_of_names(text: str) -> dict[str, int]:
    """Return the line (from 1) where each name stands; of a table, that of its heading."""
    lines: dict[str, int] = {}
    table = ""
    for number, line in enumerate(text.splitlines(), 1):
        if heading := _TABLE.match(line):
            table = _unquoted(heading[1])
            lines.setdefault(table, number)
        elif key := _KEY.match(line):
            name = _unquoted(key[1])
            lines.setdefault(f"{table}.{name}" if table else name, number)
    return lines


def _unquoted(name: str) -> str:
    return ".".join(part.strip().strip("\"'") for part in name.split("."))


def toml_text(known: ParameterSet, parameters: Any) -> str:
    """Write all parameters, documented; what has no value is commented out.

    Parameters
    ----------
    known : ParameterSet
    parameters : object
        Of its class.

    Returns
    -------
    str
        TOML that `parse_parameters` reads back to the same parameters.
    """
    single = f"Single values can be given without a file: {known.command} --set {known.example}"
    parts = [_comment(f"The parameters of '{known.command}', complete.\n\n{known.about} {single}"), ""]
    for step in ("", *known.steps):
        if step:
            parts += ["", _comment(known.title(step)), f"[{step}]"]
        for one in known.of(step):
            parts += ["", *_entry(one, one.value_in(parameters))]
    return "\n".join(parts).replace("\n\n\n", "\n\n") + "\n"


def _entry(one: Parameter, value: Value) -> list[str]:
    about = _comment("\n".join(part for part in (one.help, _facts(one, value)) if part))
    if value is None and one.default is None:
        return [about, f"# {one.name} = {toml_value(None)}"]
    return [about, f"{one.name} = {toml_value(value)}"]


def _facts(one: Parameter, value: Value) -> str:
    facts = [f"unit: {one.unit}"] if one.unit else []
    facts += [f"one of: {', '.join(one.choices)}"] if one.choices else []
    facts += [one.limits] if one.limits else []
    facts += [f"default: {toml_value(one.default)}"] if value != one.default else []
    return "; ".join(facts)


def toml_value(value: Value) -> str:
    """Return a value as TOML; none is the text ``"none"``."""
    if value is None:
        return '"none"'
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return f"[{', '.join(toml_value(one) for one in value)}]"
    return _string(value) if isinstance(value, str) else repr(value)


def _string(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + "".join(one if one.isprintable() else f"\\U{ord(one):08X}" for one in escaped) + '"'


def _comment(text: str) -> str:
    lines = []
    for paragraph in text.splitlines():
        lines += textwrap.wrap(paragraph, WIDTH - 2, break_on_hyphens=False) or [""]
    return "\n".join(f"# {line}".rstrip() for line in lines)
