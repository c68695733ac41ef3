"""Parameters from AstroDrizzle's configurations (``.cfg``) and from MDRIZTAB tables.

Every name is mapped, converted, or told with the reason why it has no counterpart: nothing is dropped
in silence. The mapping is that of hap_reference 1.2 and 1.8; it differs in these: `driz_cr_grow` is the
side of a square there and a radius here (1 is 0 here), and a custom WCS that is switched off is ignored.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from hapctl.processing.dq_flags import bad_flags
from hapctl.processing.errors import UnusableFileError, UsageProblemError
from hapctl.processing.imaging.parameters import DRIZZLE
from hapctl.processing.parameter_cfg import NOTHING, Cells, Imported, read_cfg
from hapctl.processing.parameter_file import Change
from hapctl.processing.parameter_values import Value

_SAME: Mapping[str, str] = {
    "context": "final.context",
    "static": "static_mask.enabled",
    "static_sig": "static_mask.sigma",
    "skysub": "sky.enabled",
    "skymethod": "sky.method",
    "skystat": "sky.statistic",
    "skywidth": "sky.width",
    "skylower": "sky.lower",
    "skyupper": "sky.upper",
    "skyclip": "sky.clip",
    "skylsigma": "sky.lower_sigma",
    "skyusigma": "sky.upper_sigma",
    "use_static": "sky.use_static_mask",
    "sky_bits": "sky.bits",
    "skyfile": "sky.file",
    "skyuser": "sky.user_keyword",
    "driz_separate": "separate.enabled",
    "driz_sep_kernel": "separate.kernel",
    "driz_sep_pixfrac": "separate.pixfrac",
    "driz_sep_bits": "separate.bits",
    "driz_sep_rot": "separate.rotation",
    "driz_sep_scale": "separate.scale",
    "median": "median.enabled",
    "combine_maskpt": "median.maskpt",
    "combine_type": "median.type",
    "combine_nsigma": "median.sigma",
    "combine_nlow": "median.nlow",
    "combine_nhigh": "median.nhigh",
    "combine_lthresh": "median.lower",
    "combine_hthresh": "median.upper",
    "combine_grow": "median.grow",
    "blot": "blot.enabled",
    "blot_interp": "blot.interpolation",
    "blot_sinscl": "blot.sinc_scale",
    "driz_cr": "cosmic_rays.enabled",
    "resetbits": "cosmic_rays.reset_bits",
    "driz_cr_snr": "cosmic_rays.snr",
    "driz_cr_scale": "cosmic_rays.scale",
    "driz_cr_ctegrow": "cosmic_rays.cte_grow",
    "driz_combine": "final.enabled",
    "final_wht_type": "final.weight",
    "final_kernel": "final.kernel",
    "final_wt_scl": "final.weight_scale",
    "final_pixfrac": "final.pixfrac",
    "final_fillval": "final.fill_value",
    "final_bits": "final.bits",
    "final_units": "final.units",
    "final_refimage": "final.reference",
    "final_rot": "final.rotation",
    "final_scale": "final.scale",
    "final_ra": "final.ra",
    "final_dec": "final.dec",
}
_PAIRS: Mapping[str, tuple[str, str]] = {
    "final.shape": ("final_outnx", "final_outny"),
    "final.crpix": ("final_crpix1", "final_crpix2"),
}
_SWITCHED = {"driz_sep_wcs": "driz_sep_", "final_wcs": "final_"}
_CUSTOM_WCS = ("refimage", "rot", "scale", "outnx", "outny", "ra", "dec", "crpix1", "crpix2")

_NO_COUNTERPART: Mapping[str, tuple[str, ...]] = {
    "inputs and the product are named on the command line": ("input", "output", "build"),
    "what was done is told on stderr and by --json": ("runfile",),
    "the primary WCS of every file is used": ("wcskey", "updatewcs"),
    "distortion is taken from the headers, exactly at every pixel": ("coeffs", "stepsize"),
    "all chips of a file are drizzled": ("group",),
    "input files are never changed or copied": (
        *("restore", "preserve", "overwrite", "crbit", "driz_cr_corr"),
    ),
    "nothing is left behind unless --keep is given": ("clean", "driz_sep_compress"),
    "see --threads and --max-memory": ("num_cores", "in_memory", "combine_bufsize"),
    "all work is done in electrons": ("proc_unit",),
    "headers are made by fixed rules": ("rules_file",),
    "regions of the sky are not masked by catalogs": ("skymask_cat",),
    "single drizzles are weighted by exposure time": ("driz_sep_wt_scl",),
    "single drizzles lie on a grid of their own that covers all": (
        *("driz_sep_refimage", "driz_sep_outnx", "driz_sep_outny", "driz_sep_ra", "driz_sep_dec"),
        *("driz_sep_crpix1", "driz_sep_crpix2"),
    ),
    "pixels without data have no value in intermediate images": ("driz_sep_fillval", "final_maskval"),
    "masks are made anew in every run": ("median_newmasks", "staticfile"),
    "the sky is put back as it was taken off": ("blot_addsky", "blot_skyval"),
    "gain, read noise and exposure time are those of the headers": (
        *("gain", "gnkeyword", "rdnoise", "rnkeyword", "exptime", "expkeyword"),
    ),
    "positions are those of the WCS in the files": ("shiftfile",),
}
_REASONS = {name: reason for reason, names in _NO_COUNTERPART.items() for name in names}
_OFF = ("false", "no", "0")

_RENAMED = {"subsky": "skysub", "crbitval": "crbit", "readnoise": "rdnoise"}
_FOR_BOTH = ("refimage", "bits", "ra", "dec", "rot", "scale")
_ROW_KEYS = ("filter", "numimages", "mdriztab")
_NO_INTEGER = (-2147483647, -2147483648)


def import_cfg(path: Path) -> Imported:
    """Read the parameters of an AstroDrizzle ``.cfg`` as TEAL wrote it.

    Raises
    ------
    UsageProblemError
        It can't be read, is another task's, or a value in it will not do.
    """
    _, cells = read_cfg(path, "AstroDrizzle", "astrodrizzle")
    if not any(name in _SAME or name.startswith(("driz_", "final_")) for name in cells):
        raise UsageProblemError(f"{path} holds no parameter of AstroDrizzle", "give a .cfg that TEAL wrote")
    return imported(cells, str(path))


def import_mdriztab(path: Path, filters: Sequence[str], images: int) -> Imported:
    """Read the row of an MDRIZTAB for some exposures.

    The row is that of their filters, else of ANY, with the largest number of images that they reach.

    Parameters
    ----------
    path : path
    filters : sequence of str
        The filter keywords of the first exposure; clear elements do not count.
    images : int

    Raises
    ------
    UnusableFileError
        It is no MDRIZTAB.
    UsageProblemError
        No row is for so few images, or a value in it will not do.
    """
    from astropy.table import Table

    try:
        table = Table.read(path, hdu=1, format="fits")
    except (OSError, ValueError, IndexError, TypeError) as error:
        raise UnusableFileError(f"{path}: no FITS table: {error}", "give an *_mdz.fits") from error
    names = {name.lower(): name for name in table.colnames}
    if not {"filter", "numimages"} <= set(names):
        raise UnusableFileError(f"{path}: no MDRIZTAB (no columns filter, numimages)", "give an *_mdz.fits")
    cells = [{low: _cell(row[name]) for low, name in names.items()} for row in table]
    row = chosen_row(cells, filters, images, str(path))
    number = cells.index(row) + 1
    found = imported(_renamed(row), f"{path}, row {number}")
    chosen = f"row {number} of {path}: filter {row['filter']}, from {row['numimages']} images on"
    return Imported(found.changes, (chosen, *found.notes))


def chosen_row(
    rows: Sequence[dict[str, str | None]], filters: Sequence[str], images: int, name: str
) -> dict[str, str | None]:
    """Return the row for some filters and a number of images."""
    wanted = _elements(",".join(filters))
    own = [row for row in rows if _elements(row["filter"] or "") == wanted]
    of_any = [row for row in rows if (row["filter"] or "").upper() == "ANY"]
    reached = [row for row in own or of_any if int(row["numimages"] or 0) <= images]
    if not reached:
        shown = ", ".join(filters) or "ANY"
        raise UsageProblemError(
            f"{name}: no row for {images} images of {shown}", "give the MDRIZTAB of that detector"
        )
    return max(reached, key=lambda row: int(row["numimages"] or 0))


def _elements(text: str) -> frozenset[str]:
    parts = (part.strip().upper() for part in text.replace(";", ",").split(","))
    return frozenset(part for part in parts if part and not part.startswith("CLEAR") and part != "N/A")


def _cell(value: object) -> str | None:
    """Return a cell as text; None for what stands for nothing in its type."""
    import numpy as np

    if isinstance(value, np.ma.core.MaskedConstant):
        return None
    if isinstance(value, bytes):
        value = value.decode("ascii", "replace")
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, int) and not isinstance(value, bool) and value in _NO_INTEGER:
        return None
    if isinstance(value, float):  # single precision in the table: 0.1 is meant, not 0.10000000149
        value = float(f"{value:.7g}")
    text = str(value).strip()
    return None if text.upper() in NOTHING else text


def _renamed(row: Cells) -> dict[str, str | None]:
    cells: dict[str, str | None] = {}
    for name, value in row.items():
        if name in _ROW_KEYS:
            continue
        if name in _FOR_BOTH:
            cells |= {f"driz_sep_{name}": value, f"final_{name}": value}
        else:
            cells[_RENAMED.get(name, name)] = value
    return cells


def imported(cells: Cells, origin: str) -> Imported:
    """Return the changes that AstroDrizzle's names and values stand for."""
    used, notes = _without_unused_wcs(cells)
    notes += _without_unused_sky(used)
    changes: list[Change] = []
    for name, value in used.items():
        if name in _SAME:
            changes += _change(_SAME[name], value, f"{origin}, {name}", notes)
        elif name == "driz_cr_grow":
            changes += _grown(value, origin, notes)
    for target, pair in _PAIRS.items():
        changes += _paired(target, pair, used, origin)
    return Imported(tuple(changes), (*notes, *_left(used)))


def _without_unused_wcs(cells: Cells) -> tuple[dict[str, str | None], list[str]]:
    """Leave out the custom grids that are switched off."""
    used, notes = dict(cells), []
    for switch, prefix in _SWITCHED.items():
        off = (used.pop(switch, None) or "").lower() in _OFF
        grid = [f"{prefix}{name}" for name in _CUSTOM_WCS if f"{prefix}{name}" in used]
        if off:
            given = [name for name in grid if used.pop(name) is not None]
            notes += [f"{switch} is off: {', '.join(given)} not used"] if given else []
        if prefix == "final_" and not used.get("final_rot") and not used.get("final_refimage") and grid:
            notes.append(
                "final_rot has no value: AstroDrizzle turns the image as the first chip, here north is up"
            )
    return used, notes


def _without_unused_sky(used: dict[str, str | None]) -> list[str]:
    """Leave out the keyword of a sky that AstroDrizzle does not look at while it subtracts one itself."""
    keyword = used.get("skyuser")
    if keyword is None or (used.get("skysub") or "").lower() in _OFF:
        return []
    used["skyuser"] = None
    return [f"skyuser = {keyword} is not used: skysub is on"]


def _change(target: str, value: str | None, origin: str, notes: list[str]) -> list[Change]:
    parameter = DRIZZLE.find(target)
    if target == "cosmic_rays.reset_bits":
        value = _sum_of_flags(value, origin)
    if value is None and parameter.kind == "text":
        return [Change(parameter, "", origin)]
    if value is None and not parameter.optional:
        return []
    if target.endswith(".pixfrac") and value is not None and _number(value, origin) < 0.01:
        notes.append(f"{origin.rpartition(', ')[2]} = {value}: 0.01, the least there is, is used")
        value = "0.01"
    if target == "final.weight_scale" and value == "expsq":
        notes.append("final_wt_scl = expsq has no effect in AstroDrizzle; here the square is taken")
    converted: Value = None
    try:
        converted = None if value is None else parameter.from_text(value)
    except UsageProblemError as error:
        raise UsageProblemError(f"{origin}: {error.message}", error.remedy) from error
    return [Change(parameter, converted, origin)]


def _grown(value: str | None, origin: str, notes: list[str]) -> list[Change]:
    side = int(_number(value or "1", f"{origin}, driz_cr_grow"))
    radius = max(side, 1) // 2
    notes.append(f"driz_cr_grow = {side} is a square of that side: cosmic_rays.grow = {radius}, a radius")
    return [Change(DRIZZLE.find("cosmic_rays.grow"), radius, f"{origin}, driz_cr_grow")]


def _sum_of_flags(text: str | None, origin: str) -> str:
    """Return the sum of flags written as a sum or a list; those after ``~`` are the others of 16."""
    try:
        return "0" if text is None else str(~bad_flags(text) & 0xFFFF)
    except UsageProblemError as error:
        raise UsageProblemError(f"{origin}: {error.message}", error.remedy) from error


def _number(text: str, origin: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise UsageProblemError(f"{origin} = {text} is no number", "correct the file") from None


def _paired(target: str, pair: tuple[str, str], cells: Cells, origin: str) -> list[Change]:
    values = [cells.get(name) for name in pair]
    if None not in values:
        text = " ".join(str(value) for value in values)
        return _change(target, text, f"{origin}, {' and '.join(pair)}", [])
    if values == [None, None]:
        return [Change(DRIZZLE.find(target), None, origin)] if pair[0] in cells else []
    raise UsageProblemError(f"{origin}: {' without '.join(_by_value(pair, values))}", "give both or none")


def _by_value(pair: tuple[str, str], values: Sequence[str | None]) -> tuple[str, str]:
    return pair if values[1] is None else (pair[1], pair[0])


def _left(cells: Cells) -> Iterator[str]:
    """Yield a line for each reason why names have no counterpart, and one for unknown names."""
    for reason, names in _NO_COUNTERPART.items():
        given = [name for name in names if cells.get(name) is not None]
        if given:
            yield f"no counterpart for {', '.join(given)}: {reason}"
    paired = {name for pair in _PAIRS.values() for name in pair}
    known = {*_SAME, *_REASONS, *paired, "driz_cr_grow"}
    unknown = [name for name in cells if name not in known]
    if unknown:
        yield f"unknown to AstroDrizzle and not used: {', '.join(unknown)}"
