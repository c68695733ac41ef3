"""WFPC2's peculiarities: flags lie in a file of their own (c1m beside c0m), and the oldest files are cubes.

A waiver file (c0f, c1f) holds its four groups in one cube and their keywords in an ASCII table; its groups
are read here as if they were extensions SCI,1 to SCI,4.
"""

import warnings
from pathlib import Path

from astropy.io import fits
from hapctl.processing.errors import UnusableFileError
from hapctl.processing.imaging.image_planes import FileBytes, ImagePlane, image_plane

Planes = dict[tuple[str, int], ImagePlane]


def is_waiver(hdus: fits.HDUList) -> bool:
    """Say whether a WFPC2 file is a cube of groups with a table of their keywords."""
    top = hdus[0].header
    return bool(top.get("INSTRUME") == "WFPC2" and top.get("NAXIS") == 3 and len(hdus) == 2)


def waiver_planes(
    source: FileBytes, hdus: fits.HDUList, name: str = "SCI"
) -> tuple[Planes, dict[int, fits.Header]]:
    """Return the groups of a waiver file as planes ``(name, 1)`` and so on, and the header of each."""
    cube = image_plane(source, hdus[0], "cube", axes=3)
    with warnings.catch_warnings():  # astropy objects to the display format of MIR_REVR in every such file
        warnings.simplefilter("ignore", fits.verify.VerifyWarning)
        rows = hdus[1].data
    groups = range(1, int(hdus[0].header["NAXIS3"]) + 1)
    if len(rows) != len(groups):
        raise UnusableFileError(f"{source.path}: {len(groups)} groups, but keywords of {len(rows)}")
    size = cube.shape[0] * cube.shape[1] * cube.dtype.itemsize
    planes = {(name, group): cube.moved(f"group {group}", (group - 1) * size) for group in groups}
    return planes, {group: _group_header(rows[group - 1]) for group in groups}


def _group_header(row: fits.FITS_record) -> fits.Header:
    header = fits.Header()
    for keyword in row.array.names:
        value = row[keyword]
        header[keyword] = value.strip() if isinstance(value, str) else value.item()
    return header


def quality_file(path: Path) -> Path | None:
    """Return the file of flags beside a WFPC2 science file (c1m of c0m, c1f of c0f), if there is one."""
    root, mark, rest = path.name.rpartition("_c0")
    companion = path.with_name(f"{root}_c1{rest}")
    return companion if mark and companion.exists() else None


def quality_planes(source: FileBytes) -> Planes:
    """Return the flags of every chip as planes ``("DQ", extver)`` of an open file of flags.

    The extensions of a c1m file are named like those of its science file, or ``SDQ``.
    """
    with source.open_fits() as hdus:
        if is_waiver(hdus):
            return waiver_planes(source, hdus, "DQ")[0]
        images = [hdu for hdu in hdus[1:] if hdu.name in ("SCI", "SDQ", "DQ")]
        return {("DQ", int(hdu.ver)): image_plane(source, hdu, f"{hdu.name},{hdu.ver}") for hdu in images}
