"""The WCSCORR table of an archive file: one row for every WCS of every chip that the file holds."""

from typing import TYPE_CHECKING, Any

from hapctl.processing.simulation.distortion import NO_FILE, NO_MODEL, DistortedWcs

if TYPE_CHECKING:
    from astropy.io.fits import BinTableHDU, Header

TEXT_COLUMNS = {
    "WCS_ID": 40,
    "WCS_key": 1,
    "HDRNAME": 24,
    "SIPNAME": 24,
    "NPOLNAME": 24,
    "D2IMNAME": 24,
    "CTYPE1": 24,
    "CTYPE2": 24,
    "Catalog": 40,
    "DESCRIP": 128,
}
NUMBER_COLUMNS = {"EXTVER": "I", "NMatch": "J"}
COLUMNS = (
    *("WCS_ID", "EXTVER", "WCS_key", "HDRNAME", "SIPNAME", "NPOLNAME", "D2IMNAME"),
    *("CRVAL1", "CRVAL2", "CRPIX1", "CRPIX2", "CD1_1", "CD1_2", "CD2_1", "CD2_2", "CTYPE1", "CTYPE2"),
    *("ORIENTAT", "PA_V3", "RMS_RA", "RMS_Dec", "NMatch", "Catalog", "DESCRIP"),
)
POSITION_COLUMNS = COLUMNS[COLUMNS.index("CRVAL1") : COLUMNS.index("ORIENTAT")]


def wcs_history(distorted: DistortedWcs, pa_v3: float) -> "BinTableHDU":
    """Make the WCSCORR extension.

    Parameters
    ----------
    distorted : DistortedWcs
        The WCSs of the exposure: OPUS under key O, and the primary one.
    pa_v3 : float
        Position angle of V3, degrees.
    """
    from astropy.io.fits import BinTableHDU, Column

    rows = [
        _row(header, extver, key, distorted.primary_cards, pa_v3)
        for key in ("O", "")
        for extver, header in enumerate(distorted.chip_headers, start=1)
    ]
    columns = [Column(name, _format(name), array=[row[name] for row in rows]) for name in COLUMNS]
    table = BinTableHDU.from_columns(columns, name="WCSCORR", ver=1)
    table.header["TROWS"] = (len(rows), "number of updated rows in table")
    return table


def _format(name: str) -> str:
    if name in TEXT_COLUMNS:
        return f"{TEXT_COLUMNS[name]}A"
    return NUMBER_COLUMNS.get(name, "D")


def _row(header: "Header", extver: int, key: str, primary: dict[str, str], pa_v3: float) -> dict[str, Any]:
    row: dict[str, Any] = {name: "" if name in TEXT_COLUMNS else 0 for name in COLUMNS}
    row.update({name: header[name + key] for name in POSITION_COLUMNS})
    row.update({"WCS_ID": header["WCSNAME" + key], "EXTVER": extver, "WCS_key": key, "PA_V3": pa_v3})
    if not key:
        row["ORIENTAT"], row["SIPNAME"] = header["ORIENTAT"], primary["SIPNAME"]
        row["NPOLNAME"], row["D2IMNAME"] = (_root(primary[name]) for name in ("NPOLFILE", "D2IMFILE"))
    return row


def _root(filename: str) -> str:
    return NO_MODEL if filename == NO_FILE else filename.rpartition("$")[2].partition("_")[0]
