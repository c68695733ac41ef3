"""Alternate WCSs (keys A to Z) of the SCI extensions of a file: named, archived, deleted.

``O`` is reserved for OPUS, the WCS of the ground system. Alternates have no distortion of their own: those
whose CTYPE ends in -SIP share the coefficients of the file.
"""

import re
from collections.abc import Sequence
from string import ascii_uppercase
from typing import TYPE_CHECKING

from hapctl.processing.astrometry.fits_cards import exact_card, remove_cards
from hapctl.processing.errors import RefusedError

if TYPE_CHECKING:
    from astropy.io import fits

OPUS_KEY = "O"
FREE_KEYS = tuple(letter for letter in ascii_uppercase if letter != OPUS_KEY)

_TRANSFORMATION = (
    *("CRPIX1", "CRPIX2", "CUNIT1", "CUNIT2", "CTYPE1", "CTYPE2", "CRVAL1", "CRVAL2"),
    *("CD1_1", "CD1_2", "CD2_1", "CD2_2", "PC1_1", "PC1_2", "PC2_1", "PC2_2", "CDELT1", "CDELT2"),
)
_ARCHIVED = (
    *("WCSAXES", "WCSNAME", *_TRANSFORMATION),
    *("RADESYS", "CRDER1", "CRDER2", "WCSTYPE", "RMS_RA", "RMS_DEC", "HDRNAME"),
)
_OTHERS = ("LONPOLE", "LATPOLE", "MJDREF", "EQUINOX", "CNAME1", "CNAME2", "NMATCH", "FITGEOM")
_COMPARED = ("CRPIX1", "CRPIX2", "CRVAL1", "CRVAL2", "CD1_1", "CD1_2", "CD2_1", "CD2_2", "CTYPE1", "CTYPE2")
_KEYED = re.compile(r"CRVAL1([A-Z])")


def alternate_names(headers: Sequence["fits.Header"]) -> dict[str, str]:
    """Return WCSNAME by key, of any alternate that any of the chips has; OPUS where it has none."""
    keys = {found[1] for header in headers for name in header if (found := _KEYED.fullmatch(name))}
    return {key: _name_of(headers, key) for key in sorted(keys)}


def _name_of(headers: Sequence["fits.Header"], key: str) -> str:
    return next((str(h[f"WCSNAME{key}"]).strip() for h in headers if f"WCSNAME{key}" in h), "OPUS")


def archive_primary(headers: Sequence["fits.Header"]) -> str:
    """Keep the primary WCS of all chips under the first free key; OPUS under ``O`` where that is free.

    The same WCS is not kept twice; another one of the same name is kept under the name with a number
    (``_001``), as HST's pipeline names them.

    Returns
    -------
    str
        The key; empty where it is kept already.

    Raises
    ------
    RefusedError
        No key is free.
    """
    taken = alternate_names(headers)
    name = str(headers[0].get("WCSNAME", "OPUS")).strip() or "OPUS"
    numbered = re.compile(re.escape(name) + r"(_\d{3})?")
    if any(numbered.fullmatch(own) and _same(headers, key) for key, own in taken.items()):
        return ""
    wanted = (OPUS_KEY,) if name == "OPUS" and OPUS_KEY not in taken else FREE_KEYS
    key = next((letter for letter in wanted if letter not in taken), "")
    if not key:
        raise RefusedError(
            "no letter is left for an alternate WCS", "delete one: hapctl wcs delete FILE --key A --in-place"
        )
    for header in headers:
        _copy(header, key, _unused(name, set(taken.values())))
    return key


def _same(headers: Sequence["fits.Header"], key: str) -> bool:
    return all(header.get(name) == header.get(f"{name}{key}") for header in headers for name in _COMPARED)


def _unused(name: str, known: set[str]) -> str:
    numbered = (f"{name}_{number:03d}" for number in range(1, 1000))
    return name if name not in known else next(text for text in numbered if text not in known)


def _copy(header: "fits.Header", key: str, name: str) -> None:
    if "WCSAXES" not in header:
        header.append((f"WCSAXES{key}", 2), end=True)
    for keyword in _ARCHIVED:
        if keyword in header:
            value = name if keyword == "WCSNAME" else header[keyword]
            header.append(exact_card(f"{keyword}{key}", value, header.comments[keyword]), end=True)
    if f"WCSNAME{key}" not in header:
        header.append(exact_card(f"WCSNAME{key}", name), end=True)


def delete_alternate(headers: Sequence["fits.Header"], key: str) -> None:
    """Delete an alternate from all chips.

    Raises
    ------
    RefusedError
        It is ``O``, which is reserved, or no chip has it.
    """
    if key == OPUS_KEY:
        raise RefusedError("key O holds the WCS of the ground system, and stays", "name another key")
    names = alternate_names(headers)
    if key not in names:
        has = ", ".join(f"{letter} ({name})" for letter, name in names.items()) or "none"
        raise RefusedError(f"there is no alternate WCS {key}", f"the file has {has}")
    for header in headers:
        remove_cards(header, *(f"{keyword}{key}" for keyword in (*_ARCHIVED, *_OTHERS)))
