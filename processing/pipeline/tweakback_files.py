"""`hapctl tweakback`: the inputs of a product moved as its corrected WCS moved the product.

Everything is checked for all inputs before the first file is written.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from hapctl.processing.astrometry.fits_structure import Extension, read_fits, text
from hapctl.processing.astrometry.headerlet import headerlet_name
from hapctl.processing.astrometry.reading import FoundSolution, solutions_in
from hapctl.processing.astrometry.solution import WcsSolution
from hapctl.processing.astrometry.tweakback import ProductMove, carried_back, old_solution, product_move
from hapctl.processing.astrometry.wcs_writing import apply_solution
from hapctl.processing.astrometry.wcsname import wcstype_text
from hapctl.processing.errors import MissingFileError, RefusedError, UnusableFileError, UsageProblemError
from hapctl.processing.imaging.input_files import find_inputs, same_file

_DATA = re.compile(r"D\d{3}DATA")
_OF_THE_FIT: tuple[str, ...] = ("RMS_RA", "RMS_DEC", "NMATCHES", "CATALOG")
_INPUT = re.compile(r"^(?P<file>.+?\.fits(?:\.gz)?)(?:\[.*\])?$", re.IGNORECASE)


@dataclass(frozen=True)
class TweakbackOptions:
    """What is carried back, and where it goes.

    Attributes
    ----------
    wcsname : str
        The corrected WCS of the product, by name or key; empty: its primary one.
    origwcs : str
        The one it was made with, by name or key; empty: the first alternate named ``IDC_...``, else the last.
    newname : str
        What the inputs call it; empty: as the product does.
    folder : Path
        Of the copies.
    in_place, overwrite, force : bool
        Inputs themselves are changed; older copies are replaced; a WCS of that name is replaced.
    """

    wcsname: str = ""
    origwcs: str = ""
    newname: str = ""
    folder: Path = Path()
    in_place: bool = False
    overwrite: bool = False
    force: bool = False


@dataclass(frozen=True)
class CarriedBack:
    """An input and where its new WCS was written."""

    path: Path
    written_to: Path
    wcsname: str
    previous: str


@dataclass(frozen=True)
class Tweakback:
    """How the product moved, and what became of its inputs."""

    product: Path
    move: ProductMove
    inputs: tuple[CarriedBack, ...]


def tweakback(
    product: Path,
    names: Sequence[str] = (),
    options: TweakbackOptions | None = None,
    on_progress: Callable[[str], None] = lambda _: None,
) -> Tweakback:
    """Carry the corrected WCS of a product back to its inputs.

    Parameters
    ----------
    product : Path
        A drizzled file with its old WCS as an alternate.
    names : sequence of str
        Its inputs, as `input_files.find_inputs` takes them; none: those its header names, beside it.
    options : TweakbackOptions, optional
    on_progress : callable
        Told in words what is being done.

    Raises
    ------
    UsageProblemError, MissingFileError, UnusableFileError, RefusedError
        Nothing was written, unless a disk became full.
    """
    chosen = options or TweakbackOptions()
    if not product.is_file():
        raise MissingFileError(f"{product}: no such file", "check the name of the product")
    extensions = read_fits(product)
    found = solutions_in(extensions, str(product))
    new = _new_solution(found, product.name, chosen.wcsname)
    old = old_solution(found, product.name, chosen.origwcs)
    move = product_move(old.solution, new.solution, product.name)
    name = chosen.newname or new.solution.name
    paths = [one.path for one in find_inputs(names).files] if names else named_inputs(extensions, product)
    plan = [_planned(path, move, name, new.solution, chosen) for path in paths]
    carried = []
    for path, target, solution, previous in plan:
        on_progress(f"writing {name} to {target}")
        _make(target.parent)
        apply_solution(path, target, solution)
        carried.append(CarriedBack(path, target, name, previous))
    return Tweakback(product, move, tuple(carried))


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RefusedError(f"{folder} can't be made: {error.strerror or error}", "name another") from error


def _new_solution(found: Sequence[FoundSolution], name: str, wanted: str) -> FoundSolution:
    if not wanted:
        return found[0]
    words = wanted.strip().upper()
    for one in found:
        if words == one.solution.name.upper() or (words == one.location.key.upper() and len(words) == 1):
            return one
    known = ", ".join(f"{one.solution.name} ({one.location})" for one in found)
    raise UsageProblemError(f"{name} has no WCS {wanted}", f"it has: {known}")


def named_inputs(extensions: Sequence[Extension], product: Path) -> list[Path]:
    """The inputs that a product names (D001DATA ..., else the FILENAMEs of HDRTAB), beside it or here.

    Raises
    ------
    UsageProblemError
        It names none.
    MissingFileError
        One is not there.
    """
    headers = [one.header for one in extensions]
    data = (str(h[key]) for h in headers for key in sorted(h) if _DATA.fullmatch(key))
    named = [match["file"] for value in data if (match := _INPUT.match(value.strip()))] or _listed(product)
    if not named:
        raise UsageProblemError(f"{product} does not name its inputs", "name them after the product")
    return [_beside(product, name) for name in dict.fromkeys(named)]


def _listed(product: Path) -> list[str]:
    from astropy.io import fits

    try:
        with fits.open(product, memmap=False) as hdus:
            if "HDRTAB" not in hdus or "FILENAME" not in hdus["HDRTAB"].columns.names:
                return []
            return [str(name).strip() for name in hdus["HDRTAB"].data["FILENAME"]]
    except (OSError, ValueError, TypeError) as error:
        raise UnusableFileError(
            f"{product}: its table HDRTAB is damaged: {error}", "name the inputs"
        ) from error


def _beside(product: Path, name: str) -> Path:
    for path in (product.parent / name, Path(name)):
        if path.is_file():
            return path
    raise MissingFileError(
        f"{name}, an input of {product.name}, is neither beside it nor here",
        "name the inputs after the product",
    )


def _planned(
    path: Path, move: ProductMove, name: str, new: WcsSolution, options: TweakbackOptions
) -> tuple[Path, Path, WcsSolution, str]:
    """An input's new solution and where it goes; refused where it can't be."""
    extensions = read_fits(path)
    found = solutions_in(extensions, str(path))
    own = found[0].solution
    if own.problem:
        raise UnusableFileError(f"{path}: its WCS {own.name} can't be used: {own.problem}", "update its WCS")
    if any(one.solution.name.upper() == name.upper() for one in found) and not options.force:
        raise RefusedError(
            f"{path} has a WCS {name} already", "name the new one by --newname, or replace it with --force"
        )
    target = path if options.in_place else options.folder / path.name
    if not options.in_place and same_file(path, target):
        raise RefusedError(f"{target} is the input itself", "give another --output-dir, or --in-place")
    if not options.in_place and target.exists() and not options.overwrite:
        raise RefusedError(f"{target} is there already", "write elsewhere, or give --overwrite")
    back = carried_back(own, move, name)
    figures = {key: new.keywords[key] for key in _OF_THE_FIT if key in new.keywords}
    suffix = text(extensions[0].header, "FILENAME", path.name).split(".")[0].rpartition("_")[2]
    return path, target, replace(back, keywords=_keywords(back, name, suffix, figures)), own.name


def _keywords(
    solution: WcsSolution, name: str, suffix: str, figures: Mapping[str, str | float | int | bool]
) -> dict[str, str | float | int | bool]:
    """The keywords of the input's distortion, and those of the product's fit."""
    kept = (
        "IDCTAB",
        "NPOLFILE",
        "D2IMFILE",
        "SIPNAME",
        "DISTNAME",
        "UPWCSVER",
        "PYWCSVER",
        "VAFACTOR",
        "RADESYS",
    )
    keywords = {key: value for key, value in solution.keywords.items() if key in kept}
    hdrname = headerlet_name(solution, suffix)
    return {**keywords, **figures, "WCSTYPE": wcstype_text(name), "HDRNAME": hdrname}
