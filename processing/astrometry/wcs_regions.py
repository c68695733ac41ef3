"""DS9 regions of a solution: the outlines of its chips, and the stars it was fitted with."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from hapctl.processing.astrometry.footprint import Ring

_HEAD = "# Region file format: DS9 version 4.1\nglobal width=1\nicrs\n"
MEASURED, REFERENCE, UNUSED = "green", "cyan", "red"


@dataclass(frozen=True)
class MatchedStar:
    """A star as it was measured and as the reference has it, degrees; and whether the fit used it."""

    ra: float
    dec: float
    reference_ra: float
    reference_dec: float
    used: bool
    source_id: str | None


def footprint_regions(rings: Sequence[Ring], name: str) -> str:
    """Return the head of a region file and a polygon for each chip, the first one labelled."""
    lines = []
    for number, ring in enumerate(rings):
        corners = ",".join(f"{ra:.9f},{dec:.9f}" for ra, dec in ring.tolist())
        label = f" text={{{name}}}" if number == 0 else ""
        lines.append(f"polygon({corners}) # color=yellow{label}\n")
    return _HEAD + "".join(lines)


def star_regions(stars: Iterable[MatchedStar]) -> str:
    """Return a circle for each measured star and a cross for its reference; red where the fit left it out."""
    return "".join(_star(star) for star in stars)


def _star(star: MatchedStar) -> str:
    colour = MEASURED if star.used else UNUSED
    label = f" text={{{star.source_id}}}" if star.source_id else ""
    reference = (
        f"point({star.reference_ra:.9f},{star.reference_dec:.9f}) # point=cross color={REFERENCE}{label}"
    )
    return f'circle({star.ra:.9f},{star.dec:.9f},0.3") # color={colour}\n{reference}\n'
