"""A product's corrected WCS carried back to its inputs.

Two WCSs of a product, the one it was made with and the corrected one, differ by a transformation of the sky:
where the old one has a pixel, and where the new one has it. For two tangent planes it is exactly a matrix
that acts on directions (`plane`), so that every chip of every input follows it by its CRVAL and CD alone,
without iteration and whatever its distortion. TweakBack of drizzlepac does the same by numerical
derivatives of the chain of pixels at each chip's reference point; the two agree to the curvature that these
leave out.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from hapctl.processing.astrometry.mapping import tangent_basis
from hapctl.processing.astrometry.plane import moved_solution
from hapctl.processing.astrometry.reading import FoundSolution
from hapctl.processing.astrometry.solution import ChipWcs, WcsSolution
from hapctl.processing.errors import RefusedError, UsageProblemError
from numpy.typing import NDArray

Array = NDArray[np.float64]

LARGEST_SHIFT = 1.0 / 60.0
"""Degrees: many times the largest errors of HST's pointing."""
LARGEST_TURN = 1.0
"""Degrees."""
LARGEST_GROWTH = 0.01
"""Of the scale, either way."""


@dataclass(frozen=True)
class ProductMove:
    """How the WCS of a product changed.

    Attributes
    ----------
    old, new : str
        WCSNAMEs.
    matrix : ndarray, shape (3, 3)
        Takes directions by the old WCS to those by the new one.
    shift_mas : float
        How far the middle of the product moved.
    rotation_deg, scale : float
        The turn from north through east, and the growth of distances, at the middle.
    """

    old: str
    new: str
    matrix: Array
    shift_mas: float
    rotation_deg: float
    scale: float


def old_solution(found: Sequence[FoundSolution], name: str, origwcs: str = "") -> FoundSolution:
    """The WCS that a product was made with.

    Parameters
    ----------
    found : sequence of FoundSolution
        All of the product, the primary one first.
    name : str
        Of the product, for messages.
    origwcs : str
        WCSNAME or key that was asked for. By default the first alternate that is named ``IDC_...``, else the
        last one; the ground system's (key O) never.

    Raises
    ------
    UsageProblemError
        There is none of that name, or no alternate at all.
    """
    alternates = [one for one in found[1:] if one.location.kind == "alternate" and one.location.key != "O"]
    known = ", ".join(f"{one.solution.name} (key {one.location.key})" for one in alternates) or "none"
    if origwcs:
        wanted = origwcs.strip().upper()
        chosen = [one for one in found[1:] if wanted in (one.solution.name.upper(), one.location.key.upper())]
        if not chosen:
            raise UsageProblemError(f"{name} has no alternate WCS {origwcs}", f"it has: {known}")
        return chosen[0]
    first = next((one for one in alternates if one.solution.name.upper().startswith("IDC_")), None)
    if first is None and not alternates:
        raise UsageProblemError(
            f"{name} has no alternate WCS: what it was made with is not known",
            "keep it when the WCS is corrected, or name it with --origwcs",
        )
    return first or alternates[-1]


def product_move(old: WcsSolution, new: WcsSolution, name: str = "the product") -> ProductMove:
    """The transformation of the sky between two WCSs of one product.

    Raises
    ------
    RefusedError
        The two are the same, one of them is distorted (then they do not differ by a matrix), or they lie
        so far apart that one can't be the correction of the other.
    """
    first, second = old.chips[0], new.chips[0]
    if any(_is_distorted(chip) for chip in (first, second)):
        raise RefusedError(
            f"{name}: its WCS is distorted", "give a drizzled product; of an exposure see hapctl wcs apply"
        )
    matrix = directions_between(first, second)
    middle = _direction(first, np.array([(first.shape[1] + 1) / 2, (first.shape[0] + 1) / 2]))
    moved = matrix @ middle
    moved /= np.linalg.norm(moved)
    if np.allclose(matrix, np.eye(3), atol=1e-13, rtol=0):
        raise RefusedError(f"{name}: {old.name} and {new.name} are the same", "correct its WCS first")
    local = _local(matrix, middle, moved)
    scale = math.sqrt(abs(float(np.linalg.det(local))))
    rotation = math.degrees(math.atan2(local[0, 1] - local[1, 0], local[0, 0] + local[1, 1]))
    shift = math.degrees(float(np.linalg.norm(moved - middle))) * 3.6e6
    if shift > 3.6e6 * LARGEST_SHIFT or abs(rotation) > LARGEST_TURN or abs(scale - 1.0) > LARGEST_GROWTH:
        raise RefusedError(
            f"{name}: {new.name} lies {shift / 1e3:.4g} arcsec from {old.name}, turned by {rotation:.4g} "
            f"degrees and scaled by {scale:.5g}: that is no correction of its pointing",
            "name the WCS it was made with (--origwcs) and the corrected one (--wcsname)",
        )
    return ProductMove(old.name, new.name, matrix, shift, rotation, scale)


def _is_distorted(chip: ChipWcs) -> bool:
    tables = (*chip.npol, *chip.d2im)
    return chip.sip_a is not None or any(table is not None for table in tables)


def directions_between(old: ChipWcs, new: ChipWcs) -> Array:
    """The matrix, shape (3, 3), from directions by one undistorted WCS to those by another, pixel for pixel.

    A pixel p has the direction B^T (CD (p - CRPIX), 1) up to its length, with B the basis of the tangent
    plane; both are linear in (p, 1), and so is what takes one to the other.
    """
    return _from_pixels(new) @ np.linalg.inv(_from_pixels(old))


def _from_pixels(chip: ChipWcs) -> Array:
    """The matrix, shape (3, 3), from (x, y, 1), 1-based pixels, to directions of any length."""
    plane = np.eye(3)
    plane[:2, :2] = np.radians(chip.cd_matrix)
    plane[:2, 2] = -plane[:2, :2] @ np.array(chip.crpix)
    return tangent_basis(*chip.crval).T @ plane


def _direction(chip: ChipWcs, pixel: Array) -> Array:
    vector = _from_pixels(chip) @ np.array([pixel[0], pixel[1], 1.0])
    return np.asarray(vector / np.linalg.norm(vector), dtype=np.float64)


def _local(matrix: Array, start: Array, end: Array) -> Array:
    """The Jacobian, shape (2, 2), of the transformation at a direction, in east and north of both places."""
    bases = []
    for vector in (start, end):
        ra, dec = math.degrees(math.atan2(vector[1], vector[0])), math.degrees(math.asin(vector[2]))
        bases.append(tangent_basis(ra, dec))
    jacobian = bases[1][:2] @ matrix @ bases[0][:2].T / np.linalg.norm(matrix @ start)
    return np.asarray(jacobian, dtype=np.float64)


def carried_back(solution: WcsSolution, move: ProductMove, name: str) -> WcsSolution:
    """An input's solution after the move of its product, under a name; fit keywords are the product's."""
    moved = moved_solution(solution, move.matrix)
    return WcsSolution(solution.rootname, name, moved.chips, dict(solution.keywords), "")
