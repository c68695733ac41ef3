"""Rules of products as a file: TOML for people, or the JSON that ``hapctl params export --json`` writes."""

import json
import re
import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hapctl.processing.errors import MissingFileError, UsageProblemError
from hapctl.processing.imaging.product_rules import ProductRule, ProductRules, rules_from_content
from hapctl.processing.parameter_file import toml_value

_HEADING = re.compile(r"\s*\[{1,2}\s*([^\[\]]+?)\s*\]{1,2}\s*(#.*)?$")
_KEY = re.compile(r"""\s*([\w"'.\s-]+?)\s*=""")
_ABOUT = """\
# Rules of products, in order: the last one that sets a parameter holds. A rule is for all products, but for
# its conditions: detectors, levels (exposure, filter, total, layer), filters and visits (names or patterns),
# kinds (plain, polariser, grism, ramp, quad), exposures_min and exposures_max (of the filter), mjd_from and
# mjd_before (start of the first exposure). 'hapctl drizzle --show-config' explains the parameters.
"""


@dataclass(frozen=True)
class RulesFile:
    """What a file holds: rules, and the name they are given there (empty: none)."""

    name: str
    rules: ProductRules


def rules_toml(name: str, rules: ProductRules) -> str:
    """Return rules as TOML, which `read_rules` reads back to the same rules."""
    parts = [_ABOUT, f"name = {toml_value(name)}"]
    parts += ["\n".join(_lines(rule)) for rule in rules.rules]
    return "\n\n".join(part.rstrip() for part in parts) + "\n"


def _lines(rule: ProductRule) -> Iterator[str]:
    yield "[[rule]]"
    yield f"name = {toml_value(rule.name)}"
    for key, value in rule.condition.content().items():
        yield f"{key} = {toml_value(tuple(value) if isinstance(value, list) else value)}"
    yield "[rule.set]"
    for name, value in rule.values:
        yield f"{name} = {toml_value(value)}"


def read_rules(path: Path) -> RulesFile:
    """Read rules from a file.

    Parameters
    ----------
    path : Path
        JSON if it is called so (``.json``), else TOML.

    Raises
    ------
    MissingFileError
        It can't be read.
    UsageProblemError
        It is no such file, or something in it will not do; names the line.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise MissingFileError(f"{path} can't be read: {error.strerror}", "check the path") from error
    except UnicodeDecodeError as error:
        raise UsageProblemError(f"{path} is no text: {error}", "write TOML, or JSON (*.json)") from error
    is_json = path.suffix == ".json"
    return _read(_parsed(text, path, json.loads if is_json else tomllib.loads), text, path, is_json)


def _parsed(text: str, path: Path, read: Callable[[str], Any]) -> dict[str, Any]:
    try:
        document = read(text)
    except ValueError as error:
        raise UsageProblemError(f"{path}: {error}", "correct the file: TOML, or JSON (*.json)") from error
    if not isinstance(document, dict):
        raise UsageProblemError(f"{path} holds no rules", "see 'hapctl params export'")
    return document


def _read(document: Mapping[str, Any], text: str, path: Path, is_json: bool) -> RulesFile:
    known = ("name", "rules", "version") if is_json else ("name", "rule")
    unknown = [key for key in document if key not in known]
    if unknown:
        raise UsageProblemError(
            f"{path}: there is no {unknown[0]!r} in a file of rules", "name, and [[rule]]"
        )
    name = document.get("name", "")
    if not isinstance(name, str):
        raise UsageProblemError(f"{path}: name = {name!r} is no name", "give a word")
    lines = {} if is_json else _lines_of(text)

    def where(number: int, entry: str) -> str:
        line = lines.get((number, entry)) or lines.get((number, ""))
        if line:
            return f"{path}, line {line}"
        return f"{path}, rule {number + 1}{f', {entry}' if entry else ''}"

    return RulesFile(name, rules_from_content(document.get("rules" if is_json else "rule", []), where))


def _lines_of(text: str) -> dict[tuple[int, str], int]:
    """Return the line (from 1) of each rule (from 0; entry empty) and of each entry in it."""
    found: dict[tuple[int, str], int] = {}
    number, table = -1, ""
    for line, content in enumerate(text.splitlines(), 1):
        if heading := _HEADING.match(content):
            name = _plain(heading[1])
            number += name == "rule"
            table = name.removeprefix("rule").removeprefix(".").removeprefix("set").removeprefix(".")
            found.setdefault((number, ""), line)
        elif key := _KEY.match(content):
            name = _plain(key[1]).removeprefix("set.")
            found.setdefault((number, f"{table}.{name}" if table else name), line)
    return found


def _plain(name: str) -> str:
    return ".".join(part.strip().strip("\"'") for part in name.split("."))
