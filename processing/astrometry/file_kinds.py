"""What kind of file lies before us: an exposure to register, or something else with a name."""

import re

from hapctl.processing.astrometry.fits_structure import Extension, Header, number, text

DRIZZLED = "drizzled product"
EXPOSURE_SUFFIXES = ("flt", "flc", "c0m", "c0f")

_SUFFIX = re.compile(r"_([a-z0-9]{3})\.fits(\.gz)?$")
_WAIVER_SUFFIX = re.compile(r"\.([a-z]\d)h$")
_OTHER_SUFFIXES = {
    "raw": "raw file",
    "drz": DRIZZLED,
    "drc": DRIZZLED,
    "drw": DRIZZLED,
    "crj": "combined image",
    "crc": "combined image",
    "sfl": "combined image",
    "sx2": "rectified image",
    "ima": "intermediate multi-read file",
    "blv": "intermediate file",
    "asn": "association table",
    "spt": "engineering header",
    "shm": "engineering header",
    "trl": "trailer file",
    "jit": "jitter file",
    "jif": "jitter image",
    "hlet": "headerlet",
    "c1m": "data quality file",
    "c1f": "data quality file",
    "d0m": "raw file",
    "d0f": "raw file",
}
_IMAGE_TYPES = ("", "SCI", "UNKNOWN", "ANY")
_INSTRUMENTS = ("ACS", "WFC3", "WFPC2", "STIS")


def file_suffix(top: Header, file_name: str) -> str:
    """Return flt, flc, c0m, c0f ... of a file: from its FILENAME, else from its name; may be empty.

    A copy keeps its FILENAME whatever it is called, so that a renamed flt stays one.
    """
    for name in (text(top, "FILENAME").lower(), file_name.lower()):
        if match := _SUFFIX.search(name):
            return match[1]
        if match := _WAIVER_SUFFIX.search(name):
            return match[1] + "f"
    return ""


def rejected_kind(extensions: list[Extension], file_name: str) -> str:
    """Return what a file is if it is no exposure hapctl registers; empty if it is one."""
    top = extensions[0].header
    if any(extension.name == "SIPWCS" for extension in extensions):
        return "headerlet"
    file_type = text(top, "FILETYPE").upper()
    if file_type in ("SDQ", "EDQ", "DQ"):
        return "data quality file"
    if file_type not in _IMAGE_TYPES or "USEAFTER" in top:
        return f"reference file ({(file_type or 'table').lower()})"
    if number(top, "NDRIZIM", 0) > 0 or number(top, "HAPLEVEL", 1) > 1:
        return DRIZZLED
    if text(top, "TELESCOP").upper() != "HST":
        return "not an HST exposure"
    instrument = text(top, "INSTRUME").upper()
    if instrument not in _INSTRUMENTS:
        return f"exposure of {instrument or 'an unnamed instrument'}, which is not supported"
    return _kind_of_suffix(file_suffix(top, file_name))


def _kind_of_suffix(suffix: str) -> str:
    if suffix in EXPOSURE_SUFFIXES:
        return ""
    return _OTHER_SUFFIXES.get(suffix, f"{suffix} file" if suffix else "file of unknown kind (no FILENAME)")
