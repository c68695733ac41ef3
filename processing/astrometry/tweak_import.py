"""Parameters from TweakReg's configurations: tweakreg.cfg, imagefindpars.cfg, refimagefindpars.cfg.

Every name is mapped, or told with the reason why it has no counterpart: nothing is dropped in silence.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from hapctl.processing.astrometry.tweak_parameters import TWEAK, TweakParameters
from hapctl.processing.errors import UsageProblemError
from hapctl.processing.parameter_cfg import Cells, Imported, read_cfg
from hapctl.processing.parameter_file import Change, changed, parse_setting, read_parameter_file

TASKS = ("tweakreg", "imagefindpars", "refimagefindpars")
_SECTIONS: Mapping[str, Sequence[str]] = {
    "images": ("refimage", "exclusions"),
    "find": ("conv_width", "dqbits", "fluxmin", "fluxmax"),
    "sources": (
        "catfile",
        "xcol",
        "ycol",
        "fluxcol",
        "fluxunits",
        "xyunits",
        "minflux",
        "maxflux",
        "nbright",
    ),
    "reference": (
        *("refcat", "refxcol", "refycol", "refxyunits", "rfluxcol", "rfluxunits", "rminflux", "rmaxflux"),
        "refnbright",
    ),
    "match": (
        *("minobj", "searchrad", "searchunits", "use2dhist", "separation", "tolerance", "xoffset", "yoffset"),
    ),
    "fit": ("fitgeometry",),
    "header": ("updatehdr", "wcsname", "reusename"),
    "headerlet": (
        *("headerlet", "attach", "hdrfile", "clobber", "hdrname", "author", "descrip", "catalog", "history"),
    ),
    "output": ("writecat", "shiftfile", "outshifts", "outwcs", "residplot", "see2dplot", "ylimit"),
}
_TARGETS = {name: f"{section}.{name}" for section, names in _SECTIONS.items() for name in names}
_NO_COUNTERPART: Mapping[str, Sequence[str]] = {
    "images are named on the command line": ("input",),
    "nothing is asked and nothing shown: plots are files": ("interactive", "verbose"),
    "what was done is told on stderr and by --json": ("runfile",),
    "no intermediate files are made": ("clean",),
    "all images are solved together with every star that two of them see: there is no order, and nothing to "
    "expand": ("expand_refcat", "enforce_user_order"),
    "outliers lose their weight by a redescending loss: there are no rounds of clipping": ("nclip", "sigma"),
    "labels have one size": ("labelsize",),
    "the noise of every pixel is that of the ERR extension, else that of the background round it": (
        *("computesig", "skysigma"),
    ),
    "the threshold is a signal-to-noise ratio of the fitted flux, here 7 and not of a peak": ("threshold",),
    "the filter is round and as wide as the star images": ("nsigma", "ratio", "theta"),
    "saturated stars are known by their DQ flags, and faint ones by the threshold": ("peakmin", "peakmax"),
    "sharpness and roundness are defined otherwise (a star has 1 and 0); the flags of the fit judge": (
        *("use_sharp_round", "sharplo", "sharphi", "roundlo", "roundhi"),
    ),
}
_REASONS = {name: reason for reason, names in _NO_COUNTERPART.items() for name in names}
_RENAMED = {"residplot": {"no plot": "none"}}


def import_tweakreg(path: Path) -> Imported:
    """Read a ``.cfg`` of TweakReg, or of the finder's parameters that go with it, as TEAL wrote it.

    Raises
    ------
    UsageProblemError
        It can't be read, is another task's, or a value in it will not do.
    """
    task, cells = read_cfg(path, "TweakReg", *TASKS)
    if task == "refimagefindpars":
        return Imported((), (f"{path}: sources of the reference image are found as those of the others",))
    if not any(name in _TARGETS for name in cells):
        raise UsageProblemError(f"{path} holds no parameter of TweakReg", "give a .cfg that TEAL wrote")
    changes = tuple(_changes(cells, str(path)))
    return Imported(changes, tuple(_left(cells)))


def choose_tweak(
    cfgs: Sequence[Path], file: Path | None, settings: Sequence[str]
) -> tuple[TweakParameters, list[str]]:
    """Return the parameters from all their sources, the last one holds, and what is to be said of imports.

    Parameters
    ----------
    cfgs : sequence of Path
        Configurations of TweakReg and its finder.
    file : Path or None
        TOML.
    settings : sequence of str
        ``section.name=value`` each.

    Raises
    ------
    UsageProblemError
        A source can't be read, or a name or value in it will not do.
    """
    imports = [import_tweakreg(path) for path in cfgs]
    changes = [change for one in imports for change in one.changes]
    changes += read_parameter_file(TWEAK, file) if file else []
    changes += [parse_setting(TWEAK, text) for text in settings]
    return changed(TweakParameters(), changes), [note for one in imports for note in one.notes]


def _changes(cells: Cells, origin: str) -> Iterator[Change]:
    for name, value in cells.items():
        if name in _TARGETS:
            yield from _change(name, value, f"{origin}, {name}")


def _change(name: str, value: str | None, origin: str) -> Iterator[Change]:
    parameter = TWEAK.find(_TARGETS[name])
    if value is None:
        if parameter.kind == "text" or parameter.optional:
            yield Change(parameter, "" if parameter.kind == "text" else None, origin)
        return
    text = _RENAMED.get(name, {}).get(value.lower(), value)
    try:
        yield Change(parameter, parameter.from_text(text), origin)
    except UsageProblemError as error:
        raise UsageProblemError(f"{origin}: {error.message}", error.remedy) from error


def _left(cells: Cells) -> Iterator[str]:
    """Yield a line for each reason why names have no counterpart, and one for unknown names."""
    for reason, names in _NO_COUNTERPART.items():
        given = [name for name in names if cells.get(name) is not None]
        if given:
            yield f"no counterpart for {', '.join(given)}: {reason}"
    unknown = [name for name in cells if name not in _TARGETS and name not in _REASONS]
    if unknown:
        yield f"unknown to TweakReg and not used: {', '.join(unknown)}"
