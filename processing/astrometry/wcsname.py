"""The names of WCS solutions (WCSNAME): parsed, composed, explained, and the frame they imply.

Grammar (as HST's archive writes it; nothing is normalised, so that composing gives the name back)::

    OPUS
    IDC_<root>
    IDC_<root>-<a priori>                               GSC240, HSC30, ...
    IDC_<root>-FIT_<REL|IMG|EVM|SVM|MVM>_<CATALOG|NONE>

each with an optional ``_NNN`` suffix that makes a name unique in its file. Everything else is a
``user`` name and is kept as it stands.
"""

import re
from dataclasses import dataclass
from typing import Literal

Kind = Literal["opus", "idc", "a_priori", "fit", "user"]
Mode = Literal["REL", "IMG", "EVM", "SVM", "MVM"]

MODES: tuple[Mode, ...] = ("REL", "IMG", "EVM", "SVM", "MVM")
GAIA_FRAMES = {"GAIADR3": "GAIA-CRF3", "GAIAEDR3": "GAIA-CRF3", "GAIADR2": "GAIA-DR2", "GAIADR1": "GAIA-DR1"}

_GRAMMAR = re.compile(
    r"""(?P<base>OPUS | IDC_(?P<idc_root>[0-9A-Za-z]+))
        (?: -FIT_(?P<mode>REL|IMG|EVM|SVM|MVM)_(?P<catalog>[0-9A-Za-z.+*]+)
          | -(?P<a_priori>(?!FIT_)[0-9A-Za-z]+) )?
        (?P<suffix>_[0-9]{3})?""",
    re.VERBOSE,
)

_MODE_TEXT = {
    "REL": "relatively aligned to",
    "IMG": "aligned image-by-image to",
    "EVM": "aligned by visit-exposures to",
    "SVM": "aligned by visit to",
    "MVM": "aligned by multi-visit to",
}


@dataclass(frozen=True)
class WcsName:
    """A parsed WCSNAME.

    Attributes
    ----------
    base : str
        ``OPUS``, ``IDC_<root>``, or the whole name of a user solution.
    idc_root : str or None
        Root of the distortion table.
    mode : str or None
        REL, IMG, EVM, SVM or MVM of a fit.
    reference : str or None
        Reference catalog, as spelt in the name; ``NONE`` for a relative fit without one.
    kind : str
        opus, idc, a_priori, fit or user.
    suffix : str
        ``_NNN`` that makes the name unique in its file, or empty.
    """

    base: str
    idc_root: str | None
    mode: Mode | None
    reference: str | None
    kind: Kind
    suffix: str = ""

    def compose(self) -> str:
        """Return the WCSNAME these parts came from."""
        if self.kind == "fit":
            return f"{self.base}-FIT_{self.mode}_{self.reference}{self.suffix}"
        if self.kind == "a_priori":
            return f"{self.base}-{self.reference}{self.suffix}"
        return f"{self.base}{self.suffix}"


def parse_wcsname(name: str | None) -> WcsName:
    """Parse a WCSNAME.

    Parameters
    ----------
    name : str or None
        The keyword's value; missing or blank means OPUS.

    Returns
    -------
    WcsName
        Kind ``user`` where the grammar does not hold; ``compose()`` always gives the name back.
    """
    text = (name or "").strip()
    if not text:
        return WcsName("OPUS", None, None, None, "opus")
    found = _GRAMMAR.fullmatch(text)
    if found is None:
        return WcsName(text, None, None, None, "user")
    base, root, suffix = found["base"], found["idc_root"], found["suffix"] or ""
    if found["mode"]:
        return WcsName(base, root, found["mode"], found["catalog"], "fit", suffix)  # type: ignore[arg-type]
    if found["a_priori"]:
        return WcsName(base, root, None, found["a_priori"], "a_priori", suffix)
    return WcsName(base, root, None, None, "idc" if root else "opus", suffix)


def fit_name(idc_root: str, mode: Mode, reference: str) -> str:
    """Return the WCSNAME of a new fit, such as ``IDC_0461802ej-FIT_SVM_GAIADR3``."""
    return WcsName(f"IDC_{idc_root}", idc_root, mode, reference, "fit").compose()


def wcstype_text(name: str | None) -> str:
    """Return the WCSTYPE keyword that goes with a WCSNAME.

    The texts are those HST's pipeline writes; it has none for MVM, which here is
    ``aligned by multi-visit to``.
    """
    if not (name or "").strip():
        return "not aligned"
    parsed = parse_wcsname(name)
    if parsed.kind == "user":
        return "user-defined"
    base = "pipeline default" if parsed.idc_root is None else "undistorted"
    if parsed.kind == "a_priori":
        return f"{base} a priori solution based on {str(parsed.reference).upper()}"
    if parsed.mode:
        return f"{base} a posteriori solution {_MODE_TEXT[parsed.mode]} {str(parsed.reference).upper()}"
    return f"{base} not aligned"


def absolute_frame_of(name: str | None) -> str | None:
    """Return the absolute frame a WCSNAME stands for, or None where it stands for none.

    A fit to Gaia DR3 or eDR3 (same astrometry) is in GAIA-CRF3; DR2 and DR1 are frames of their
    own. Everything else is good only within its alignment group or guide-star set.
    """
    parsed = parse_wcsname(name)
    if parsed.kind != "fit" or parsed.reference is None:
        return None
    return GAIA_FRAMES.get(parsed.reference.upper())


def frame_of(name: str | None, group: str) -> str:
    """Return the frame of a solution: the absolute one, or its group's.

    Parameters
    ----------
    name : str or None
        WCSNAME of the solution.
    group : str
        What the solution shares its frame with when it has no absolute one: an alignment group,
        or the visit whose guide stars pointed it.
    """
    return absolute_frame_of(name) or group
