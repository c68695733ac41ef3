"""The distortion of a file (SIP, NPOL and D2IM) against that of a solution, and its cards."""

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from hapctl.processing.astrometry.content_hash import distortion_sha256
from hapctl.processing.astrometry.fits_cards import card_text, remove_cards, set_card
from hapctl.processing.astrometry.fits_editing import EditedFile, FitsPart
from hapctl.processing.astrometry.headerlet import (
    Cards,
    distortion_name,
    reference_root,
    sip_cards,
    sip_name,
    table_cards,
    table_header,
    table_values,
)
from hapctl.processing.astrometry.solution import ChipWcs, WcsSolution
from hapctl.processing.errors import RefusedError

if TYPE_CHECKING:
    from astropy.io import fits

TABLES = ("WCSDVARR", "D2IMARR")
MODEL_FILES = ("IDCTAB", "NPOLFILE", "D2IMFILE")

_SIP = re.compile(r"(A|B|AP|BP)_(\d+_\d+|ORDER|DMAX)")
_LOOKUP = (
    *("CPDIS1", "CPDIS2", "DP1", "DP2", "CPERR1", "CPERR2", "NPOLEXT"),
    *("D2IMDIS1", "D2IMDIS2", "D2IM1", "D2IM2", "D2IMERR1", "D2IMERR2", "D2IMEXT", "AXISCORR"),
)
_OF_THE_IDCTAB = (
    *("IDCSCALE", "IDCTHETA", "IDCXREF", "IDCYREF", "IDCV2REF", "IDCV3REF"),
    *("OCX10", "OCX11", "OCY10", "OCY11", "TDDALPHA", "TDDBETA"),
)


def same_distortion(old: WcsSolution, new: WcsSolution) -> bool:
    """Say whether all chips of two solutions have the same distortion, number by number."""
    return _keys(old) == _keys(new)


def _keys(solution: WcsSolution) -> dict[int, str]:
    return {chip.extver: distortion_sha256(chip) for chip in solution.chips}


def check_model(old: WcsSolution, new: WcsSolution, where: str) -> None:
    """Refuse a solution whose distortion model is another than that of the file.

    The same model is that of the same IDCTAB, NPOLFILE and D2IMFILE with the same kinds of corrections; a
    file without any distortion takes every model.

    Raises
    ------
    RefusedError
        Names both models.
    """
    if same_distortion(old, new) or not any(map(_kinds, old.chips)):
        return
    kinds = [tuple(map(_kinds, solution.chips)) for solution in (old, new)]
    if _model(old) != _model(new) or kinds[0] != kinds[1]:
        raise RefusedError(
            f"{where}: {new.name} has the distortion model {_words(new)}, the file {_words(old)}",
            "give --force to replace the file's model, or choose a solution of it",
        )


def _kinds(chip: ChipWcs) -> frozenset[str]:
    present = {"SIP": chip.sip_a is not None, "NPOL": any(chip.npol), "D2IM": any(chip.d2im)}
    return frozenset(kind for kind, there in present.items() if there)


def _model(solution: WcsSolution) -> tuple[str, ...]:
    return tuple(reference_root(solution.keywords.get(keyword)) for keyword in MODEL_FILES)


def _words(solution: WcsSolution) -> str:
    kinds = ", ".join(sorted(frozenset().union(*map(_kinds, solution.chips)))) or "no distortion"
    return f"{'-'.join(_model(solution))} ({kinds})"


def write_distortion(edited: EditedFile, science: Sequence[FitsPart], solution: WcsSolution) -> None:
    """Replace the distortion of a file by that of a solution: cards, tables, names of the reference files.

    Parameters
    ----------
    edited : EditedFile
    science : sequence of FitsPart
        The SCI extension of each chip, in order of the chips.
    solution : WcsSolution
    """
    edited.parts[:] = [part for part in edited.parts if part.name not in TABLES]
    versions = dict.fromkeys(TABLES, 0)
    for part, chip in zip(science, solution.chips, strict=True):
        header = part.header
        sip = [name for name in header if _SIP.fullmatch(name)]
        remove_cards(header, *sip, *_LOOKUP, *_OF_THE_IDCTAB)
        cards, tables = table_cards(chip, versions)
        cards += _names_of_tables(chip, solution)
        if chip.idcscale is not None:
            cards.append(("IDCSCALE", chip.idcscale))
        _append(part, sip_cards("A", chip.sip_a) + sip_cards("B", chip.sip_b) + cards)
        for name, version, table in tables:
            new = FitsPart(_as_header(table_header(name, version, table)), table_values(table))
            edited.parts.append(new)
    for keyword in MODEL_FILES:
        set_card(edited.primary, keyword, str(solution.keywords.get(keyword, "N/A")))
    set_card(edited.primary, "SIPNAME", str(solution.keywords.get("SIPNAME") or sip_name(solution)))
    set_card(edited.primary, "DISTNAME", distortion_name(solution))


def _names_of_tables(chip: ChipWcs, solution: WcsSolution) -> Cards:
    pairs = (("NPOLEXT", chip.npol, "NPOLFILE"), ("D2IMEXT", chip.d2im, "D2IMFILE"))
    return [(name, str(solution.keywords.get(file, ""))) for name, pair, file in pairs if any(pair)]


def _append(part: FitsPart, cards: Cards) -> None:
    from astropy.io import fits

    for keyword, value in cards:
        # Appended as text: astropy would write the records of DP1 as floats, and cut long numbers.
        part.header.append(fits.Card.fromstring(card_text(keyword, value)), bottom=True)


def _as_header(cards: Cards) -> "fits.Header":
    from astropy.io import fits

    return fits.Header([fits.Card.fromstring(card_text(keyword, value)) for keyword, value in cards])
