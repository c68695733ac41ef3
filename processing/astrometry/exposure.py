"""What the headers of an HST file say about its exposure, and why it may not be mosaicked.

Covers ACS (WFC, HRC, SBC), WFC3 (UVIS, IR), WFPC2 (MEF and waiver) and STIS; flt, flc, c0m, c0f.
"""

import math
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from hapctl.processing.astrometry.file_kinds import file_suffix
from hapctl.processing.astrometry.fits_structure import Extension, Header, number, text, whole_number
from hapctl.processing.astrometry.reading import chip_number, image_shape
from hapctl.processing.astrometry.waiver import group_rows, is_waiver
from hapctl.processing.errors import UnusableFileError

INSTRUMENTS = ("ACS", "WFC3", "WFPC2", "STIS")
HEADER_ONLY = ("STIS",)
"""Instruments that are catalogued by header, and not yet mosaicked."""
_UNDISTORTED = "WFPC2 without distortion is catalogued by header only; 'hapctl wcs update' adds it"

_FILTER_KEYWORDS = {
    "ACS": ("FILTER1", "FILTER2"),
    "WFC3": ("FILTER",),
    "WFPC2": ("FILTNAM1", "FILTNAM2"),
    "STIS": ("FILTER",),
}
_CALIBRATION_TARGETS = ("DARK", "TUNG", "BIAS", "FLAT", "DEUT", "EARTH-CAL", "KSPOTS")
_CALIBRATION_IMAGES = ("DARK", "BIAS", "FLAT", "IFLAT", "UFLAT", "VFLAT", "KSPOT", "ECAL")
_LEAST_MJD, _LAST_MJD = 0.0, 100_000.0  # the years 1858 to 2132: what lies outside is a damaged card
_MJD_ZERO = datetime(1858, 11, 17, tzinfo=UTC)
_DISPERSER = re.compile(r"(g|pr)\d+[a-z]?")


@dataclass(frozen=True)
class Rejection:
    """Why an exposure will not be mosaicked: a code for queries, a reason for people."""

    code: str
    reason: str


@dataclass(frozen=True)
class ChipFacts:
    """A SCI extension: version, chip, size in pixels, unit and photometric keywords."""

    extver: int
    chip: int
    nx: int
    ny: int
    unit: str | None
    photflam: float | None
    photplam: float | None
    photmode: str | None


@dataclass(frozen=True)
class ExposureFacts:
    """An exposure as its file describes it.

    Attributes
    ----------
    rootname, visit : str
        ipppssoot and ipppss, lower case.
    suffix : str
        flt, flc, c0m or c0f.
    filter : str
        As in HAP names: lower case, elements joined by ``-``, ``clear`` without any.
    filter_elements : tuple of str
        The filter keywords as they stand.
    exposure_time : float or None
        Seconds; of several imsets their sum.
    mjd_start, mjd_end : float or None
        MJD (UTC).
    t_start, t_mid, t_end : datetime or None
        The same in UTC, and the middle.
    rejection : Rejection or None
        Why it will not be mosaicked.
    primary_header : dict
        Every card of the primary header.
    chips : tuple of ChipFacts
        In the order of the file.
    """

    rootname: str
    visit: str
    suffix: str
    proposal_id: int | None
    instrument: str
    detector: str
    filter: str
    filter_elements: tuple[str, ...]
    aperture: str | None
    target_name: str | None
    obstype: str | None
    image_type: str | None
    fgs_lock: str | None
    scan_type: str | None
    moving_target: bool
    exposure_time: float | None
    mjd_start: float | None
    mjd_end: float | None
    t_start: datetime | None
    t_mid: datetime | None
    t_end: datetime | None
    ra_target: float | None
    dec_target: float | None
    pa_v3: float | None
    fits_date: datetime | None
    headerlets: int
    rejection: Rejection | None
    primary_header: Header
    chips: tuple[ChipFacts, ...]

    @property
    def rejection_reason(self) -> str:
        """Why it will not be mosaicked, in words; empty if it may."""
        return self.rejection.reason if self.rejection else ""

    @property
    def warning(self) -> str:
        """What is to be known of an exposure that may be mosaicked: stars are smeared without guide stars."""
        lock = (self.fgs_lock or "").upper()
        if not lock.startswith(("GY", "COARSE")):
            return ""
        return f"no fine lock on guide stars (FGSLOCK {lock}): look at the shapes of its stars"


def exposure_facts(extensions: list[Extension], file_name: str) -> ExposureFacts:
    """Read the facts of an exposure.

    Parameters
    ----------
    extensions : list of Extension
        Of a file whose kind is an exposure (:func:`file_kinds.rejected_kind` is empty).
    file_name : str
        For messages, and for the suffix where the header has no FILENAME.

    Raises
    ------
    UnusableFileError
        No ROOTNAME of nine characters, no DETECTOR, fewer extensions than NEXTEND, or an
        end before the start.
    """
    top = extensions[0].header
    _check_complete(extensions, file_name)
    chips = chip_facts(extensions)
    rootname = text(top, "ROOTNAME").lower()
    if not re.fullmatch(r"[a-z0-9]{9}", rootname):
        raise UnusableFileError(f"{file_name}: ROOTNAME {rootname!r} is not ipppssoot", "")
    science = [extension.header for extension in extensions if extension.name == "SCI"]
    instrument = text(top, "INSTRUME").upper()
    elements = filter_elements(top)
    start, end = _time(top, science, "EXPSTART", latest=False), _time(top, science, "EXPEND", latest=True)
    if start is not None and end is not None and end < start:
        raise UnusableFileError(f"{file_name}: EXPEND {end} is before EXPSTART {start}", "fetch it again")
    middle = None if start is None or end is None else 0.5 * (start + end)
    proposal = whole_number(top, "PROPOSID")
    return ExposureFacts(
        rootname=rootname,
        visit=rootname[:6],
        suffix=file_suffix(top, file_name),
        proposal_id=proposal if proposal > 0 else None,
        instrument=instrument,
        detector=_detector(top, instrument),
        filter=hap_filter(elements),
        filter_elements=elements,
        aperture=text(top, "APERTURE") or None,
        target_name=text(top, "TARGNAME") or None,
        obstype=text(top, "OBSTYPE") or None,
        image_type=text(top, "IMAGETYP") or None,
        fgs_lock=text(top, "FGSLOCK") or next((lock for h in science if (lock := text(h, "FGSLOCK"))), None),
        scan_type=text(top, "SCAN_TYP") or None,
        moving_target=_is_moving(top),
        exposure_time=_exposure_time(top, science),
        mjd_start=start,
        mjd_end=end,
        t_start=mjd_to_utc(start),
        t_mid=mjd_to_utc(middle),
        t_end=mjd_to_utc(end),
        ra_target=_finite(number(top, "RA_TARG") % 360.0),
        dec_target=dec if -90.0 <= (dec := number(top, "DEC_TARG")) <= 90.0 else None,
        pa_v3=_finite(number(top, "PA_V3")),
        fits_date=parse_date(text(top, "DATE")),
        headerlets=sum(text(extension.header, "XTENSION").upper() == "HDRLET" for extension in extensions),
        rejection=rejection_of(top, science, instrument, elements, blank=_all_blank(extensions)),
        primary_header=top,
        chips=chips,
    )


def _check_complete(extensions: list[Extension], file_name: str) -> None:
    """Refuse a file that was cut between two extensions: NEXTEND says how many there were."""
    announced, found = whole_number(extensions[0].header, "NEXTEND"), len(extensions) - 1
    if found < announced:
        raise UnusableFileError(
            f"{file_name}: truncated: {found} of the {announced} extensions that NEXTEND announces",
            "fetch it again",
        )


def hap_filter(elements: tuple[str, ...]) -> str:
    """Return the filter's name in HAP products.

    Clear elements and ``N/A`` are dropped, the others joined by ``-`` with a polariser last; ``clear``
    where none is left.
    """
    names = [name.lower() for name in elements if name.strip()]
    used = [name for name in names if not name.startswith("clear") and name not in ("n/a", "none")]
    return "-".join(sorted(used, key=lambda name: name.startswith("pol"))) or "clear"


def _detector(top: Header, instrument: str) -> str:
    if instrument == "WFPC2":
        return "PC"  # HAP's name for all of WFPC2; its DETECTOR keyword counts the chips
    detector = text(top, "DETECTOR").upper()
    if not detector:
        raise UnusableFileError("no DETECTOR in the primary header", "fetch it again")
    return detector


def filter_elements(top: Header) -> tuple[str, ...]:
    """Return the filter keywords of an instrument as they stand; of an unknown one, FILTER."""
    keywords = _FILTER_KEYWORDS.get(text(top, "INSTRUME").upper(), ("FILTER",))
    return tuple(text(top, keyword) for keyword in keywords if text(top, keyword))


def rejection_of(
    top: Header, science: list[Header], instrument: str, elements: tuple[str, ...], *, blank: bool = False
) -> Rejection | None:
    """Return the first reason why an exposure is not to be mosaicked, or None; see `rejections_of`."""
    return next(iter(rejections_of(top, science, instrument, elements, blank=blank)), None)


def rejections_of(
    top: Header, science: list[Header], instrument: str, elements: tuple[str, ...], *, blank: bool = False
) -> list[Rejection]:
    """Return every reason why an exposure is not to be mosaicked.

    The rules are those of drizzlepac's ``analyze``; the guide-star lock is no reason. Ramp filters are none
    here: their exposures are aligned, and products leave them out. ``blank`` says that all pixels of SCI
    are zero.
    """
    target = text(top, "TARGNAME").upper()
    image_type = text(top, "IMAGETYP").upper()
    exposure_time = _exposure_time(top, science)
    chosen = hap_filter(elements)
    checks = (
        ("calibration", f"calibration target {target}", any(word in target for word in _CALIBRATION_TARGETS)),
        ("calibration", f"calibration image, IMAGETYP {image_type}", image_type in _CALIBRATION_IMAGES),
        ("moving_target", "moving target (MTFLAG)", _is_moving(top)),
        ("scan", f"scanned exposure (SCAN_TYP {text(top, 'SCAN_TYP')})", text(top, "SCAN_TYP") in ("C", "D")),
        ("dispersed", f"grism or prism {chosen}", _is_dispersed(chosen)),
        ("spectroscopic", f"OBSTYPE {text(top, 'OBSTYPE')}", text(top, "OBSTYPE", "IMAGING") != "IMAGING"),
        ("zero_exposure", "no exposure time in the header", exposure_time is None),
        ("zero_exposure", "exposure time 0", exposure_time == 0.0),
        ("charge_injection", "charge injection", text(top, "CHINJECT", "NONE") not in ("NONE", "N/A")),
        ("filter", f"filter {chosen} blocks", _is_blocking(chosen)),
        ("drizzle_off", f"DRIZCORR {text(top, 'DRIZCORR')}", text(top, "DRIZCORR") in ("OMIT", "SKIPPED")),
        ("empty", "no signal: GOODMIN and GOODMAX are 0", bool(science) and all(map(_is_empty, science))),
        ("empty", "no signal: all pixels of SCI are 0", blank),
        ("header_only", f"{instrument} is catalogued by header only", instrument in HEADER_ONLY),
        ("header_only", _UNDISTORTED, instrument == "WFPC2" and not any(map(_is_distorted, science))),
    )
    return [Rejection(code, reason) for code, reason, holds in checks if holds]


def _all_blank(extensions: list[Extension]) -> bool:
    blank = [extension.blank for extension in extensions if extension.name == "SCI"]
    return bool(blank) and all(blank)


def _is_distorted(header: Header) -> bool:
    return text(header, "CTYPE1").upper().endswith("-SIP")


def _is_moving(top: Header) -> bool:
    return top.get("MTFLAG") is True or text(top, "MTFLAG").upper() == "T"


def _is_dispersed(name: str) -> bool:
    return any(_DISPERSER.fullmatch(element) for element in name.split("-"))


def _is_blocking(name: str) -> bool:
    return any(element.startswith("block") for element in name.split("-"))


def _is_empty(header: Header) -> bool:
    return number(header, "GOODMIN") == 0.0 and number(header, "GOODMAX") == 0.0


def _exposure_time(top: Header, science: list[Header]) -> float | None:
    for keyword in ("EXPTIME", "TEXPTIME"):
        if (value := _finite(number(top, keyword))) is not None:
            return max(value, 0.0)
    parts = [number(header, "EXPTIME") for header in science]
    return _finite(sum(parts)) if parts else None


def _time(top: Header, science: list[Header], keyword: str, *, latest: bool) -> float | None:
    """Return a time (MJD): of the file, else the earliest or latest of its imsets."""
    value = number(top, keyword)
    if _LEAST_MJD < value < _LAST_MJD:
        return value
    values = [found for header in science if _LEAST_MJD < (found := number(header, keyword)) < _LAST_MJD]
    return (max if latest else min)(values) if values else None


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def mjd_to_utc(mjd: float | None) -> datetime | None:
    """Return a UTC time from an MJD (UTC), to the microsecond."""
    return None if mjd is None else _MJD_ZERO + timedelta(days=mjd)


def parse_date(value: str) -> datetime | None:
    """Return a FITS DATE (ISO, or the old DD/MM/YY), without time zone; None if it can't be read."""
    value = value.removesuffix("Z")  # FITS times are UTC without it; some writers add it
    for form in ("%Y-%m-%dT%H:%M:%S.%f", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d", "%d/%m/%y"):
        try:
            return datetime.strptime(value, form)
        except ValueError:
            continue
    return None


def chip_facts(extensions: list[Extension]) -> tuple[ChipFacts, ...]:
    """Return the SCI extensions of a file, or the groups of a waiver file."""
    top = extensions[0].header
    if is_waiver(extensions):
        rows = group_rows(extensions[1])
        shape = (whole_number(top, "NAXIS2"), whole_number(top, "NAXIS1"))
        return tuple(_chip({**top, **row}, {}, group, shape) for group, row in enumerate(rows, start=1))
    science = [extension for extension in extensions if extension.name == "SCI"]
    return tuple(_chip(ext.header, top, ext.version, image_shape(ext.header)) for ext in science)


def _chip(header: Header, top: Header, extver: int, shape: tuple[int, int]) -> ChipFacts:
    keywords = ("PHOTFLAM", "PHOTPLAM", "PHOTMODE", "BUNIT")
    photometry: Header = {keyword: header.get(keyword, top.get(keyword)) for keyword in keywords}
    return ChipFacts(
        extver=extver,
        chip=chip_number(header),
        nx=shape[1],
        ny=shape[0],
        unit=text(photometry, "BUNIT") or None,
        photflam=_finite(number(photometry, "PHOTFLAM")) or None,
        photplam=_finite(number(photometry, "PHOTPLAM")) or None,
        photmode=text(photometry, "PHOTMODE") or None,
    )
