"""Headerlets attached to a science file as HDRLET extensions: listed, attached, taken out, deleted."""

import gzip
import io
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hapctl.processing.astrometry.fits_cards import exact_card
from hapctl.processing.astrometry.fits_editing import EditedFile, FitsPart
from hapctl.processing.astrometry.fits_structure import HeaderValue, read_fits_bytes, text
from hapctl.processing.errors import RefusedError, UnusableFileError

if TYPE_CHECKING:
    from astropy.io import fits

KIND = "HDRLET"
_COPIED = ("HDRNAME", "DATE", "SIPNAME", "WCSNAME", "DISTNAME", "NPOLFILE", "D2IMFILE")


@dataclass(frozen=True)
class AttachedHeaderlet:
    """A HDRLET extension of a file; ``content`` is the headerlet as a FITS file."""

    extver: int
    hdrname: str
    wcsname: str
    content: bytes


def attached_headerlets(edited: EditedFile) -> list[AttachedHeaderlet]:
    """Return the HDRLET extensions of a file, in its order.

    Raises
    ------
    UnusableFileError
        One is compressed and damaged.
    """
    return [_attached(edited, part) for part in _parts(edited)]


def _parts(edited: EditedFile) -> list[FitsPart]:
    return [part for part in edited.parts if part.kind == KIND]


def _attached(edited: EditedFile, part: FitsPart) -> AttachedHeaderlet:
    content = edited.data_of(part)[: int(part.header.get("NAXIS1", 0))]
    if part.header.get("COMPRESS") is True:
        try:
            content = gzip.decompress(content)
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise UnusableFileError(
                f"{edited.path}: HDRLET,{part.version} is damaged", "delete it from the file"
            ) from error
    return AttachedHeaderlet(
        part.version,
        str(part.header.get("HDRNAME", "")).strip(),
        str(part.header.get("WCSNAME", "")).strip(),
        content,
    )


def attach_headerlet(edited: EditedFile, content: bytes) -> int:
    """Attach a headerlet as the last HDRLET extension.

    Parameters
    ----------
    edited : EditedFile
    content : bytes
        The headerlet as a FITS file, plain.

    Returns
    -------
    int
        EXTVER of the extension; that of an equal one which is attached already.

    Raises
    ------
    RefusedError
        Another one with its HDRNAME is attached: stwcs tells headerlets by it.
    """
    hdus = read_fits_bytes(content, "headerlet")
    name = text(hdus[0].header, "HDRNAME")
    attached = attached_headerlets(edited)
    for other in attached:
        if other.content == content:
            return other.extver
        if other.hdrname.upper() == name.upper():
            raise RefusedError(
                f"{edited.path.name} has another headerlet {name} (HDRLET,{other.extver})",
                f"delete that one first: hapctl wcs delete {edited.path} --hdrlet {other.extver} --in-place",
            )
    extver = max((other.extver for other in attached), default=0) + 1
    edited.parts.append(FitsPart(_extension_header(content, extver), content))
    return extver


def _extension_header(content: bytes, extver: int) -> "fits.Header":
    """Return the header of a HDRLET extension, as stwcs writes it."""
    from astropy.io import fits

    hdus = fits.open(io.BytesIO(content))
    top = hdus[0].header
    cards: list[tuple[str, HeaderValue, str]] = [
        ("XTENSION", KIND, "FITS extension"),
        ("BITPIX", 8, "array data type"),
        ("NAXIS", 1, "number of array dimensions"),
        ("NAXIS1", len(content), "Axis length"),
        ("PCOUNT", 0, "number of parameters"),
        ("GCOUNT", 1, "number of groups"),
    ]
    starts = [hdu.fileinfo()["hdrLoc"] for hdu in hdus[1:]]
    cards += [(f"XIND{n}", start, f"byte offset of extension {n}") for n, start in enumerate(starts, start=1)]
    cards.append(("COMPRESS", False, "Uses gzip compression"))
    cards += [(name, top[name], top.comments[name]) for name in _COPIED if name in top]
    cards += [("EXTNAME", KIND, "Extension name"), ("EXTVER", extver, "")]
    return fits.Header([exact_card(*card) for card in cards])


def find_attached(edited: EditedFile, which: str) -> AttachedHeaderlet:
    """Return an attached headerlet by EXTVER, HDRNAME or WCSNAME.

    Raises
    ------
    RefusedError
        None is so, or several of a name are.
    """
    attached = attached_headerlets(edited)
    found = [one for one in attached if which == str(one.extver)]
    found = found or [one for one in attached if which.upper() in (one.hdrname.upper(), one.wcsname.upper())]
    if len(found) == 1:
        return found[0]
    known = ", ".join(f"{one.extver} ({one.wcsname})" for one in (found or attached)) or "none"
    problem = f"{len(found)} headerlets" if found else "no headerlet"
    raise RefusedError(f"{edited.path.name} has {problem} {which}", f"name one by its number: {known}")


def delete_attached(edited: EditedFile, extver: int) -> None:
    """Delete the HDRLET extension of a number; the others keep theirs."""
    edited.parts[:] = [part for part in edited.parts if part.kind != KIND or part.version != extver]
