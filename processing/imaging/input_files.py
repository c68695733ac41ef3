"""The input files of a drizzle: files, patterns, comma lists, @lists with weight maps, association tables.

What is left out is told with the reason; what is missing, or given twice, is refused.
"""

import glob
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from astropy.io import fits
from hapctl.processing.astrometry.exposure import filter_elements, rejections_of
from hapctl.processing.astrometry.file_kinds import rejected_kind
from hapctl.processing.astrometry.fits_structure import Extension, Header, read_fits, text
from hapctl.processing.astrometry.reading import solutions_in
from hapctl.processing.astrometry.solution import WcsSolution
from hapctl.processing.errors import MissingFileError, NoViableDataError, UnusableFileError, UsageProblemError

_GLOB_CHARACTERS = frozenset("*?[")
_COMMENT = re.compile(r"(^|\s)#.*")
_ASSOCIATION = re.compile(r"_as[nc]\.fits(\.gz)?$", re.IGNORECASE)
_MEMBER_SUFFIXES = ("flc", "flt", "c0m")
_LEFT_OUT = ("zero_exposure", "dispersed", "spectroscopic", "empty")
"""Why `rejections_of` may leave an exposure out here; of the rest the user, who named the file, decides."""
PRODUCT = "drizzled product"
_ACCEPTED_KINDS = ("", "combined image", "not an HST exposure")
_ACCEPTED_BEGINNINGS = ("file of unknown kind", "exposure of")


@dataclass(frozen=True)
class InputFile:
    """A file to drizzle, and the inverse-variance map the user gives with it."""

    path: Path
    weight_map: Path | None = None


@dataclass(frozen=True)
class LeftOut:
    """What does not go in, and why."""

    name: str
    reason: str


@dataclass(frozen=True)
class InputList:
    """What names stand for: the files in their order, and what is left out."""

    files: tuple[InputFile, ...]
    left_out: tuple[LeftOut, ...] = ()


@dataclass(frozen=True)
class InputExposure:
    """An input whose headers were read.

    Attributes
    ----------
    file : InputFile
    solution : WcsSolution
        The primary WCS of the file.
    header : dict
        Its primary header.
    filters : tuple of str
        The filter keywords as they stand.
    """

    file: InputFile
    solution: WcsSolution
    header: Header
    filters: tuple[str, ...]


def find_inputs(names: Iterable[str]) -> InputList:
    """Find the files that names stand for.

    Parameters
    ----------
    names : iterable of str
        Files; patterns with ``*``, ``?`` or ``[...]`` (sorted); several of these joined by commas; ``@list``:
        a file with one name a line, and optionally the inverse-variance map of that file beside it, ``#``
        begins a comment; association tables (``_asn.fits``), whose members lie beside them as flc, else
        flt. Relative names count from the working folder, in lists too.

    Raises
    ------
    UsageProblemError
        Nothing is named, or a file is named twice.
    MissingFileError
        A name stands for nothing.
    """
    files: list[InputFile] = []
    left_out: list[LeftOut] = []
    for name in names:
        for found in _found(name):
            if isinstance(found, LeftOut):
                left_out.append(found)
            else:
                files.append(found)
    if not files and not left_out:
        raise UsageProblemError("no input files", "name files, patterns, @lists or association tables")
    _refuse_twice([file.path.resolve() for file in files], [str(file.path) for file in files])
    return InputList(tuple(files), tuple(left_out))


def _found(name: str) -> Iterator[InputFile | LeftOut]:
    path = Path(name).expanduser()
    if path.is_dir():
        raise UsageProblemError(f"{name} is a folder", f"name its files, such as {path / '*_flc.fits'}")
    if path.exists():
        yield from _members(path) if _ASSOCIATION.search(path.name) else [InputFile(path)]
    elif name.startswith("@"):
        yield from _listed(name[1:])
    elif "," in name:
        for part in name.split(","):
            if part.strip():
                yield from _found(part.strip())
    elif _GLOB_CHARACTERS.intersection(name) and (matches := sorted(glob.glob(str(path)))):
        for match in matches:
            yield from _found(match)
    else:
        raise MissingFileError(f"{name}: no such file", "check the name")


def _listed(name: str) -> Iterator[InputFile | LeftOut]:
    """Yield the files of a list; an empty list is refused by name."""
    try:
        lines = Path(name).expanduser().read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise MissingFileError(
            f"the list {name} can't be read: {error.strerror}", "check the name"
        ) from error
    except UnicodeDecodeError as error:
        raise UsageProblemError(f"{name} is no list of files: {error.reason}", "give a text file") from error
    rows = [words for line in lines if (words := _COMMENT.sub("", line).split())]
    if not rows:
        raise UsageProblemError(f"the list {name} names no files", "write one name a line")
    for words in rows:
        if len(words) > 2 or words[0].startswith("@"):
            raise UsageProblemError(
                f"the list {name} has the line {' '.join(words)!r}",
                "write a file, and its weight map or nothing",
            )
        yield from _with_map(list(_found(words[0])), words[1:], name)


def _with_map(
    found: Sequence[InputFile | LeftOut], maps: Sequence[str], name: str
) -> Iterator[InputFile | LeftOut]:
    if not maps:
        yield from found
        return
    weight_map = Path(maps[0]).expanduser()
    if not weight_map.is_file():
        raise MissingFileError(f"the weight map {maps[0]} of the list {name} is not there", "check the name")
    (first, *others) = found
    if others or isinstance(first, LeftOut):
        raise UsageProblemError(f"the weight map {maps[0]} goes with several files", "name files one by one")
    yield InputFile(first.path, weight_map)


def _members(path: Path) -> Iterator[InputFile | LeftOut]:
    """Yield the exposures of an association table; products are none."""
    for name, kind, present in _association(path):
        if not kind.startswith("EXP"):
            continue
        if not present:
            yield LeftOut(name, f"not present, says {path.name}")
            continue
        yield InputFile(_beside(path, name))


def _association(path: Path) -> list[tuple[str, str, bool]]:
    try:
        with fits.open(path, memmap=False) as hdus:
            table = hdus[1].data
            names, kinds = table["MEMNAME"], table["MEMTYPE"]
            present = table["MEMPRSNT"]
            rows = zip(names, kinds, np.asarray(present, dtype=np.bool_), strict=True)
            return [
                (str(name).strip().lower(), str(kind).strip().upper(), bool(there))
                for name, kind, there in rows
            ]
    except (OSError, IndexError, KeyError, TypeError, ValueError) as error:
        raise UnusableFileError(f"{path}: no association table: {error}", "name the exposures") from error


def _beside(table: Path, member: str) -> Path:
    tried = [f"{member}_{suffix}.fits{packed}" for suffix in _MEMBER_SUFFIXES for packed in ("", ".gz")]
    for name in tried:
        if (path := table.with_name(name)).is_file():
            return path
    raise MissingFileError(
        f"{table}: its member {member} is not beside it as {tried[0]} or {tried[2]}",
        "fetch it, or name the files there are",
    )


def _refuse_twice(keys: Sequence[object], names: Sequence[str]) -> None:
    seen: dict[object, str] = {}
    for key, name in zip(keys, names, strict=True):
        if key in seen:
            also = "" if seen[key] == name else f" (also as {seen[key]})"
            raise UsageProblemError(f"{name} is given twice{also}", "name every exposure once")
        seen[key] = name


def read_inputs(listed: InputList, *, products: bool = False) -> tuple[list[InputExposure], list[LeftOut]]:
    """Read the headers of the inputs and leave out what can't be drizzled or aligned.

    Parameters
    ----------
    listed : InputList
    products : bool
        Take drizzled products, too.

    Returns
    -------
    exposures : list of InputExposure
    left_out : list of LeftOut
        Those of the list, and exposures without time or signal, dispersed ones, and files of another kind.

    Raises
    ------
    UnusableFileError
        A file is damaged, has no usable WCS, or its chips have different solutions.
    UsageProblemError
        Two files are of one exposure.
    NoViableDataError
        Nothing is left.
    """
    left_out = list(listed.left_out)
    exposures = []
    for file in listed.files:
        extensions = _extensions(file.path)
        if reason := reason_against(extensions, file.path.name, products=products):
            left_out.append(LeftOut(str(file.path), reason))
        else:
            exposures.append(_read(file, extensions))
    if not exposures:
        reasons = "; ".join(f"{one.name}: {one.reason}" for one in left_out)
        raise NoViableDataError(f"nothing is left to work on: {reasons}", "give other files")
    keys = [one.solution.rootname or one.file.path for one in exposures]
    _refuse_twice(keys, [str(one.file.path) for one in exposures])
    return exposures, left_out


def _extensions(path: Path) -> list[Extension]:
    try:
        return read_fits(path)
    except OSError as error:
        raise UnusableFileError(f"{path} can't be read: {error.strerror}", "check its permissions") from error


def reason_against(extensions: list[Extension], name: str, *, products: bool = False) -> str:
    """Return why a file is left out; empty where it is not."""
    kind = rejected_kind(extensions, name)
    if products and kind == PRODUCT:
        return ""
    if kind not in _ACCEPTED_KINDS and not kind.startswith(_ACCEPTED_BEGINNINGS):
        return f"a {kind}"
    top = extensions[0].header
    science = [extension.header for extension in extensions if extension.name == "SCI"]
    elements = filter_elements(top)
    reasons = rejections_of(top, science, text(top, "INSTRUME").upper(), elements)
    return next((one.reason for one in reasons if one.code in _LEFT_OUT), "")


def _read(file: InputFile, extensions: list[Extension]) -> InputExposure:
    solution = solutions_in(extensions, str(file.path))[0].solution
    if solution.problem:
        raise UnusableFileError(
            f"{file.path}: its WCS {solution.name} can't be used: {solution.problem}",
            "update the WCS of the file",
        )
    top = extensions[0].header
    return InputExposure(file, solution, top, filter_elements(top))


def shown_size(size: float) -> str:
    """Return a number of bytes for people."""
    return f"{size / 1e9:.2f} GB" if size >= 1e9 else f"{size / 1e6:.1f} MB"


def same_file(first: Path, second: Path) -> bool:
    """Whether two paths lead to one file that exists."""
    return first.exists() and second.exists() and os.path.samefile(first, second)
