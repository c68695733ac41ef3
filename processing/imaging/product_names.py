"""HAP's names of products (hap_reference 3.3 and 4.5)."""

from collections.abc import Iterable
from typing import Literal

Suffix = Literal["drz", "drc"]


def product_suffix(file_names: Iterable[str]) -> Suffix:
    """Return ``drc`` where all inputs are CTE-corrected (``_flc``), else ``drz``.

    Examples
    --------
    >>> product_suffix(["jbl70rtvq_flc.fits"])
    'drc'
    """
    names = [name.lower() for name in file_names]
    return "drc" if names and all("_flc" in name for name in names) else "drz"


def filter_label(filter_name: str) -> str:
    """Return a filter as it stands in names: lower case, combined filters joined by ``-``.

    Examples
    --------
    >>> filter_label("F606W;POL0V")
    'f606w-pol0v'
    """
    parts = [part.strip().lower() for part in filter_name.replace("+", ";").replace("/", ";").split(";")]
    kept = [part for part in parts if part and not part.startswith("clear") and part != "n/a"]
    return "-".join(sorted(kept, key=lambda part: part.startswith("pol"))) or "clear"


def detector_label(instrument: str, detector: str) -> str:
    """Return a detector as it stands in names; all chips of WFPC2 are ``pc``."""
    return "pc" if instrument.upper() == "WFPC2" else detector.lower()


def _visit_stem(proposal_id: int, visit: str, instrument: str, detector: str) -> str:
    return f"hst_{proposal_id}_{visit[4:6]}_{instrument.lower()}_{detector_label(instrument, detector)}"


def exposure_product_name(
    proposal_id: int, rootname: str, instrument: str, detector: str, filter_name: str, suffix: Suffix
) -> str:
    """Return the file name of an exposure product.

    Examples
    --------
    >>> exposure_product_name(9019, "j8bt06nyq", "ACS", "HRC", "F606W", "drz")
    'hst_9019_06_acs_hrc_f606w_j8bt06ny_drz.fits'
    """
    return exposure_file_name(proposal_id, rootname, instrument, detector, filter_name, suffix)


def filter_product_name(
    proposal_id: int, visit: str, instrument: str, detector: str, filter_name: str, suffix: Suffix
) -> str:
    """Return the file name of a filter product; visit is ipppss."""
    stem = _visit_stem(proposal_id, visit, instrument, detector)
    return f"{stem}_{filter_label(filter_name)}_{visit}_{suffix}.fits"


def total_product_name(proposal_id: int, visit: str, instrument: str, detector: str, suffix: Suffix) -> str:
    """Return the file name of a total product; visit is ipppss."""
    return f"{_visit_stem(proposal_id, visit, instrument, detector)}_total_{visit}_{suffix}.fits"


def exposure_file_name(
    proposal_id: int, rootname: str, instrument: str, detector: str, filter_name: str, suffix: str
) -> str:
    """Return the file name of what belongs to an exposure: calibrated file (flt, flc), headerlet (hlet).

    Examples
    --------
    >>> exposure_file_name(11359, "ib6o21qmq", "WFC3", "IR", "G102", "flt")
    'hst_11359_21_wfc3_ir_g102_ib6o21qm_flt.fits'
    """
    stem = _visit_stem(proposal_id, rootname[:6], instrument, detector)
    return f"{stem}_{filter_label(filter_name)}_{rootname[:8]}_{suffix}.fits"


def layer_name(
    place: str,
    instrument: str,
    detector: str,
    filter_name: str,
    suffix: Suffix,
    coarse: bool = False,
    part: str = "",
) -> str:
    """Return the file name of a layer of a sky tile, or of a mosaic of a field.

    Parameters
    ----------
    place : str
        Name of the tile; of a field what `field_place` gives, or a prefix of the user's own.
    instrument, detector, filter_name : str
    suffix : {"drz", "drc"}
    coarse : bool
    part : str
        Which part of a split layer it is (``y2012``, ``p09019``); empty: all of it.

    Examples
    --------
    >>> layer_name("skycell-p1889x07y19", "WFC3", "IR", "F160W", "drz", coarse=True)
    'hst_skycell-p1889x07y19_wfc3_ir_f160w_coarse-all_drz.fits'
    >>> layer_name("skycell-p1889x07y19", "ACS", "WFC", "F775W", "drc", part="y2012")
    'hst_skycell-p1889x07y19_acs_wfc_f775w_y2012_drc.fits'
    """
    label = f"coarse-{part or 'all'}" if coarse else part or "all"
    camera = f"{instrument.lower()}_{detector_label(instrument, detector)}"
    return f"hst_{place}_{camera}_{filter_label(filter_name)}_{label}_{suffix}.fits"


def position_label(ra: float, dec: float) -> str:
    """Return a position as it stands in names of fields and cut-outs.

    Parameters
    ----------
    ra, dec : float
        Degrees.

    Examples
    --------
    >>> position_label(180.12345, -0.5)
    'ra180d1234-decs0d5000'
    """
    parts = [f"{value:.4f}".replace(".", "d") for value in (ra % 360.0, abs(dec))]
    return f"ra{parts[0]}-dec{'s' if dec < 0 else 'n'}{parts[1]}"


def field_place(projection_cell: int, ra: float, dec: float) -> str:
    """Return the place that names of a custom mosaic begin with.

    Examples
    --------
    >>> field_place(1889, 180.0, 26.5)
    'skycell-p1889-ra180d0000-decn26d5000'
    """
    return f"skycell-p{projection_cell:04d}-{position_label(ra, dec)}"


def layer_scales(instrument: str, detector: str) -> tuple[bool, ...]:
    """Return which layers a detector has: fine alone, or coarse (True) and fine (WFC3/IR, WFPC2)."""
    return (True, False) if detector_label(instrument, detector) in ("ir", "pc") else (False,)
