"""Skies that users give: a header keyword, or a file with the sky of each chip."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from hapctl.processing.errors import UnusableFileError, UsageProblemError
from hapctl.processing.imaging.prepared import PreparedChip

_YES = ("yes", "true", "y", "t")


@dataclass(frozen=True)
class SkyFile:
    """Skies read from a file.

    Attributes
    ----------
    path : Path
    values : mapping of str to tuple of float
        By file name: one value for all chips, or one a chip, in units of SCI.
    applied : bool
        Whether they were taken off already: a comment ``# applied = yes``.
    """

    path: Path
    values: Mapping[str, tuple[float, ...]]
    applied: bool = False

    def of(self, chips: Sequence[PreparedChip]) -> tuple[float, ...]:
        """Return the sky of each chip of an exposure, in units of SCI.

        Raises
        ------
        UsageProblemError
            The file has no row for the exposure, or another number of values than chips.
        """
        name = chips[0].pixels.path.name
        if name not in self.values:
            raise UsageProblemError(
                f"{self.path}: no row for {name}", "add a row: file name, sky of each chip"
            )
        found = self.values[name]
        if len(found) not in (1, len(chips)):
            raise UsageProblemError(
                f"{self.path}: {len(found)} values for {name}, which has {len(chips)} chips",
                "give one value, or one for each chip",
            )
        return found * len(chips) if len(found) == 1 else found


def read_sky_file(path: str | Path) -> SkyFile:
    """Read a file of skies: a row an exposure, its file name and the sky of its chips.

    Empty lines and lines that begin with ``#`` are passed over. Of file names the last part counts.

    Raises
    ------
    UsageProblemError
        The file can't be read, a row holds no value or something that is no number, or a name comes twice.
    """
    path = Path(path)
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageProblemError(
            f"{path}: cannot be read as a sky file: {error}", "name a text file: file name, sky of each chip"
        ) from error
    values: dict[str, tuple[float, ...]] = {}
    for number, line in enumerate(lines, 1):
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        name = Path(words[0]).name
        if name in values:
            raise UsageProblemError(f"{path}, line {number}: {name} comes twice", "leave one of the rows")
        values[name] = _numbers(path, number, words[1:])
    return SkyFile(path, values, any(_says_applied(line) for line in lines))


def _says_applied(line: str) -> bool:
    if not line.startswith("#") or "applied" not in line.lower():
        return False
    return line.lower().replace(":", "=").rpartition("=")[2].strip() in _YES


def _numbers(path: Path, number: int, words: Sequence[str]) -> tuple[float, ...]:
    values = []
    for word in words:
        try:
            values.append(float(word))
        except ValueError:
            values.append(math.nan)
    if not values or not all(map(math.isfinite, values)):
        shown = " ".join(words) or "nothing"
        raise UsageProblemError(
            f"{path}, line {number}: {shown!r} after the file name is no sky", "give a number for each chip"
        )
    return tuple(values)


def header_sky(chip: PreparedChip, keyword: str) -> float:
    """Return the sky in the header of a chip, else in the primary header, in units of SCI.

    Raises
    ------
    UnusableFileError
        Neither has the keyword, or its value is no number.
    """
    pixels = chip.pixels
    for header in (pixels.header, pixels.primary):
        if keyword in header:
            value = header[keyword]
            if isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value):
                return float(value)
            raise UnusableFileError(
                f"{pixels.path}[SCI,{pixels.extver}]: {keyword} = {value!r} is no sky", "give it a number"
            )
    raise UnusableFileError(
        f"{pixels.path}[SCI,{pixels.extver}]: no keyword {keyword}",
        "write it into the header, or leave user_keyword empty",
    )
