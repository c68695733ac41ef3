"""WFPC2's waiver files (c0f, with c1f) as files of extensions: SCI and DQ for each chip, as ``_flt``.

The pixels keep their bytes; the keywords of a group, which stand in a table, become cards of its SCI header.
"""

from pathlib import Path

from hapctl.processing.astrometry.fits_editing import EditedFile, FitsPart, editing
from hapctl.processing.astrometry.fits_structure import read_fits
from hapctl.processing.astrometry.waiver import group_rows, is_waiver
from hapctl.processing.errors import UnusableFileError

_STRUCTURE = frozenset(
    {*("SIMPLE", "BITPIX", "NAXIS", "NAXIS1", "NAXIS2", "NAXIS3", "EXTEND", "GROUPS", "BSCALE", "BZERO")}
)
_OF_GROUPS = frozenset({"CD1_1", "CD1_2", "CD2_1", "CD2_2", "CRVAL1", "CRVAL2", "CRPIX1", "CRPIX2"})


def converted_name(path: Path) -> str:
    """Return the name of the file of extensions: ``u40x010hm_flt.fits`` of ``u40x010hm_c0f.fits``."""
    return path.name.removesuffix(".gz").replace("_c0f.fits", "_flt.fits")


def is_waiver_file(path: Path) -> bool:
    """Say whether a file is in waiver form."""
    return is_waiver(read_fits(path))


def convert_waiver(edited: EditedFile, path: Path) -> str:
    """Turn an open waiver file into one of extensions.

    Parameters
    ----------
    edited : EditedFile
        Of the c0f file; its parts are replaced.
    path : Path
        Its path: flags are taken from the c1f file beside it.

    Returns
    -------
    str
        A note where there are no flags; else empty.

    Raises
    ------
    UnusableFileError
        The flags are of other chips.
    """
    rows = group_rows(read_fits(path)[1])
    cube = edited.parts[0]
    science = _planes(edited.data_of(cube), cube, len(rows), path)
    flags_path = path.with_name(path.name.replace("_c0f", "_c1f"))
    flags: list[tuple[bytes, int]] = []
    if flags_path.is_file():
        with editing(flags_path) as other:
            part = other.parts[0]
            planes = _planes(other.data_of(part), part, len(rows), flags_path)
            flags = [(plane, int(part.header["BITPIX"])) for plane in planes]
    shape = int(cube.header["NAXIS1"]), int(cube.header["NAXIS2"])
    parts = [_primary(cube, path, (1 + bool(flags)) * len(rows), set(rows[0]))]
    for group, (row, plane) in enumerate(zip(rows, science, strict=True), start=1):
        parts.append(_image("SCI", group, plane, int(cube.header["BITPIX"]), shape, dict(row)))
        if flags:
            parts.append(_image("DQ", group, *flags[group - 1], shape, {}))
    edited.parts[:] = parts
    return "" if flags else f"no flags: {flags_path.name} is not beside it"


def _planes(data: bytes, part: FitsPart, groups: int, path: Path) -> list[bytes]:
    size = int(part.header["NAXIS1"]) * int(part.header["NAXIS2"]) * abs(int(part.header["BITPIX"])) // 8
    if part.header.get("NAXIS") != 3 or part.header["NAXIS3"] != groups or len(data) < groups * size:
        raise UnusableFileError(f"{path.name}: it is no cube of {groups} groups", "fetch it again")
    return [data[group * size : (group + 1) * size] for group in range(groups)]


def _primary(cube: FitsPart, path: Path, extensions: int, of_groups: set[str]) -> FitsPart:
    from astropy.io import fits

    left_out = _STRUCTURE | _OF_GROUPS | of_groups
    kept = [card for card in cube.header.cards if card.keyword not in left_out]
    header = fits.Header([("SIMPLE", True), ("BITPIX", 8), ("NAXIS", 0), ("EXTEND", True), *kept])
    header["NEXTEND"], header["FILENAME"] = extensions, converted_name(path)
    return FitsPart(header)


def _image(
    name: str, group: int, plane: bytes, bitpix: int, shape: tuple[int, int], row: dict[str, object]
) -> FitsPart:
    from astropy.io import fits

    cards: list[tuple[str, object]] = [("XTENSION", "IMAGE"), ("BITPIX", bitpix), ("NAXIS", 2)]
    cards += [("NAXIS1", shape[0]), ("NAXIS2", shape[1]), ("PCOUNT", 0), ("GCOUNT", 1)]
    cards += [("EXTNAME", name), ("EXTVER", group)]
    header = fits.Header(cards)
    for keyword, value in row.items():
        if keyword not in header:
            header[keyword] = value
    if name == "SCI":
        header["BUNIT"] = "COUNTS"
    return FitsPart(header, plane)
