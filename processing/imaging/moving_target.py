"""Exposures of a moving target: solutions carried so that the target, not the sky, falls together.

Each exposure is turned rigidly on the sphere so that the target lies where it lay in the first one, north
staying north; shapes, scales and orientations are untouched, dithers are honoured, and the stars trail.
(drizzlepac gives every image the WCS of the first, which loses dithers.) An exposure's own WCS decides where
its target is on the detector; that WCS should be the one as delivered, or all shifted alike: alignments
to stars of each exposure on its own move the target, too, by the errors of the guide stars.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from astropy.io import fits
from hapctl.processing.astrometry.mapping import tangent_basis
from hapctl.processing.astrometry.plane import moved_solution
from hapctl.processing.astrometry.solution import WcsSolution
from hapctl.processing.errors import RefusedError, UsageProblemError

TargetSource = Literal["target", "aperture"]

AGREEMENT_ARCSEC = 1.0
"""RA_TARG, DEC_TARG and the aperture with its POSTARG agree to 0.07 arcsec in real files of fixed targets."""


@dataclass(frozen=True)
class TargetPosition:
    """Where the target is at the time of an exposure, as its headers say it in two ways.

    Attributes
    ----------
    rootname : str
    target : tuple of float or None
        RA_TARG and DEC_TARG, degrees.
    aperture : tuple of float or None
        RA_APER and DEC_APER, moved by POSTARG1 along position angle PA_APER - 90 and POSTARG2 along PA_APER.
    """

    rootname: str
    target: tuple[float, float] | None
    aperture: tuple[float, float] | None


@dataclass(frozen=True)
class MovingTarget:
    """What was done to a set of exposures.

    Attributes
    ----------
    solutions : tuple of WcsSolution
        In the order given; the first one as it was.
    shifts_arcsec : tuple of (float, float)
        How far each was moved, east and north at the target of the first exposure.
    source : str
        ``target``: by RA_TARG and DEC_TARG; ``aperture``: by RA_APER, DEC_APER and POSTARG, since the
        former are missing, or contradict them by more than an arcsec (a target that did not follow).
    """

    solutions: tuple[WcsSolution, ...]
    shifts_arcsec: tuple[tuple[float, float], ...]
    source: TargetSource


def is_moving(primary: fits.Header) -> bool:
    """Say whether MTFLAG is set (``T``, or the logical value)."""
    flag = primary.get("MTFLAG")
    return flag is True or str(flag or "").strip().upper() in ("T", "TRUE")


def target_position(primary: fits.Header, header: fits.Header, rootname: str) -> TargetPosition:
    """Read where the target is from the primary header and the one of the first SCI extension."""
    return TargetPosition(rootname, _position(primary, "_TARG"), _aperture(primary, header))


def align_on_target(solutions: Sequence[WcsSolution], targets: Sequence[TargetPosition]) -> MovingTarget:
    """Carry every solution to where the target lay in the first exposure.

    Parameters
    ----------
    solutions : sequence of WcsSolution
        One of each exposure; a single one is returned as it is.
    targets : sequence of TargetPosition
        In the same order.

    Raises
    ------
    UsageProblemError
        The two sequences differ in length.
    RefusedError
        An exposure's headers do not say where its target is.
    """
    if len(solutions) != len(targets):
        raise UsageProblemError(
            "as many target positions as solutions are needed", "give one of each exposure"
        )
    if len(solutions) <= 1:
        return MovingTarget(tuple(solutions), ((0.0, 0.0),) * len(solutions), "target")
    source, places = _chosen(targets)
    moved = [
        moved_solution(s, _turn(place, places[0])) for s, place in zip(solutions[1:], places[1:], strict=True)
    ]
    shifts = tuple(_offset_arcsec(places[0], place) for place in places)
    return MovingTarget((solutions[0], *moved), shifts, source)


def _chosen(targets: Sequence[TargetPosition]) -> tuple[TargetSource, list[tuple[float, float]]]:
    """The same kind of position for all: mixing them would put their difference into the product."""
    named = [target.target for target in targets if target.target is not None and _is_consistent(target)]
    if len(named) == len(targets):
        return "target", named
    pointed = [target.aperture for target in targets if target.aperture is not None]
    if len(pointed) == len(targets):
        return "aperture", pointed
    lacking = min((t for t in targets if t.aperture is None), key=lambda t: t.target is not None).rootname
    raise RefusedError(
        f"{lacking}: no usable RA_TARG and DEC_TARG, nor RA_APER, DEC_APER, PA_APER, POSTARG1 and POSTARG2: "
        "where its moving target is can't be told",
        "leave it out, or drizzle it alone",
    )


def _is_consistent(position: TargetPosition) -> bool:
    if position.target is None or position.aperture is None:
        return True
    return math.hypot(*_offset_arcsec(position.aperture, position.target)) < AGREEMENT_ARCSEC


def _position(header: fits.Header, ending: str) -> tuple[float, float] | None:
    ra, dec = (_number(header.get(axis + ending)) for axis in ("RA", "DEC"))
    return (ra % 360.0, dec) if math.isfinite(ra) and abs(dec) <= 90.0 else None


def _aperture(primary: fits.Header, header: fits.Header) -> tuple[float, float] | None:
    place = _position(header, "_APER")
    angle = math.radians(_number(header.get("PA_APER")))
    x, y = (_number(primary.get(f"POSTARG{axis}")) for axis in (1, 2))
    if place is None or not all(map(math.isfinite, (angle, x, y))):
        return None
    xi = -x * math.cos(angle) + y * math.sin(angle)
    eta = x * math.sin(angle) + y * math.cos(angle)
    east, north, here = tangent_basis(*place)
    seen = here + math.radians(xi / 3600.0) * east + math.radians(eta / 3600.0) * north
    return math.degrees(math.atan2(seen[1], seen[0])) % 360.0, math.degrees(
        math.atan2(seen[2], math.hypot(seen[0], seen[1]))
    )


def _turn(start: tuple[float, float], end: tuple[float, float]) -> np.ndarray:
    """The rotation, shape (3, 3), that carries one position with its east and north to another."""
    turn: np.ndarray = tangent_basis(*end).T @ tangent_basis(*start)
    return turn


def _offset_arcsec(end: tuple[float, float], start: tuple[float, float]) -> tuple[float, float]:
    """East and north of a position from another, arcsec on the tangent plane of the first named."""
    east, north, here = tangent_basis(*end) @ tangent_basis(*start)[2]
    return tuple(math.degrees(-value / here) * 3600.0 for value in (east, north))  # type: ignore[return-value]


def _number(value: object) -> float:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else math.nan
