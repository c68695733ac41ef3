"""A product's corrected WCS carried back: as astropy has it, pixel by pixel, and by derivatives."""

from dataclasses import replace

import numpy as np
import pytest
from astropy.wcs import WCS
from hapctl.processing.astrometry.mapping import astropy_wcs, pixel_to_sky
from hapctl.processing.astrometry.plane import TangentPlane
from hapctl.processing.astrometry.reading import FoundSolution, WcsLocation
from hapctl.processing.astrometry.solution import ChipWcs, WcsSolution
from hapctl.processing.astrometry.tweakback import (
    carried_back,
    directions_between,
    old_solution,
    product_move,
)
from hapctl.processing.errors import RefusedError, UsageProblemError
from hypothesis import given, settings
from hypothesis import strategies as st
from support.synthetic_chips import distorted_chip, plain_chip

MAS = 3.6e6
PLACES = np.array([[0.0, 0.0], [4095.0, 0.0], [4095.0, 2047.0], [0.0, 2047.0], [2000.0, 900.0]])


def wide_chip(extver: int = 1, dec: float = 2.2) -> ChipWcs:
    """One of two chips of 4096 x 2048 pixels with quadratic distortion, above the other."""
    a, b = np.zeros((3, 3)), np.zeros((3, 3))
    a[2, 0], a[1, 1], b[0, 2], b[1, 1] = 8e-6, -5e-6, 7e-6, 6e-6
    chip = plain_chip((2048, 4096), (150.0, dec + 0.0145 * (extver - 1.5)), 0.05, 20.0)
    return replace(chip, extver=extver, ctype=("RA---TAN-SIP", "DEC--TAN-SIP"), sip_a=a, sip_b=b)


def corrected(chip: ChipWcs, shift: tuple[float, float], turn: float, scale: float, crpix: float) -> ChipWcs:
    """A product's WCS moved by arcsec, turned (degrees) and scaled, about another reference pixel."""
    c, s = np.cos(np.radians(turn)), np.sin(np.radians(turn))
    cd = scale * np.array([[c, -s], [s, c]]) @ chip.cd_matrix
    ra = chip.crval[0] + shift[0] / 3600 / np.cos(np.radians(chip.crval[1]))
    place = (chip.crpix[0] + crpix, chip.crpix[1] - crpix)
    return replace(chip, crval=(ra, chip.crval[1] + shift[1] / 3600), cd=tuple(cd.ravel()), crpix=place)


def difference(first: tuple[np.ndarray, np.ndarray], second: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    """Second minus first, east and north, mas, shape (n, 2)."""
    plane = TangentPlane(float(first[0][0]), float(first[1][0]))
    return 1e3 * (plane.project_sky(*second) - plane.project_sky(*first))


def by_pixels(chip: ChipWcs, old: WCS, new: WCS, places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where a place of a chip should be: through the product's pixels, by astropy alone."""
    sky = astropy_wcs(chip).all_pix2world(places, 0)
    moved = new.wcs_pix2world(old.wcs_world2pix(sky, 0), 0)
    return moved[:, 0], moved[:, 1]


@settings(max_examples=40, deadline=None)
@given(
    dec=st.floats(-85, 85),
    shift=st.tuples(st.floats(0.001, 3), st.floats(-3, 3)),
    turn=st.floats(-0.1, 0.1),
    growth=st.floats(-3e-4, 3e-4),
    crpix=st.floats(-50, 50),
)
def test_every_pixel_moves_as_the_product_did(
    dec: float, shift: tuple[float, float], turn: float, growth: float, crpix: float
) -> None:
    product = replace(plain_chip((4400, 4300), (150.0, dec), 0.05), extver=1)
    new = corrected(product, shift, turn, 1 + growth, crpix)
    move = product_move(WcsSolution("", "IDC_x", (product,)), WcsSolution("", "NEW", (new,)))
    chips = (wide_chip(1, dec), wide_chip(2, dec))
    back = carried_back(WcsSolution("j", "IDC_x", chips), move, "NEW")
    assert back.name == "NEW"
    for before, after in zip(chips, back.chips, strict=True):
        expected = by_pixels(before, astropy_wcs(product), astropy_wcs(new), PLACES)
        found = pixel_to_sky(after, PLACES[:, 0], PLACES[:, 1])
        assert np.abs(difference(expected, found)).max() < 1e-3
    assert move.scale == pytest.approx(1 + growth, abs=1e-9)


def test_the_move_is_told_as_it_was_made() -> None:
    product = plain_chip((4000, 4000), (150.0, 0.0), 0.05)
    new = corrected(product, (0.3, -0.4), 0.0, 1.0, 0.0)
    move = product_move(WcsSolution("", "A", (product,)), WcsSolution("", "B", (new,)))
    assert move.shift_mas == pytest.approx(500.0, abs=0.01)
    assert abs(move.rotation_deg) < 1e-6
    turned = corrected(product, (0.0, 0.0), 0.05, 1.0, 0.0)  # from xi towards eta: from north to west
    move = product_move(WcsSolution("", "A", (product,)), WcsSolution("", "B", (turned,)))
    assert move.rotation_deg == pytest.approx(-0.05, abs=1e-7)


def five_point_jacobian(chain, place: np.ndarray, step: float) -> np.ndarray:
    """The derivative of a map of pixels by five points: (p(-2h) - p(2h) + 8 (p(h) - p(-h))) / 12 h."""
    columns = []
    for axis in np.eye(2):
        at = [chain(place + k * step * axis) for k in (-2, -1, 1, 2)]
        columns.append((at[0] - at[3] + 8 * (at[2] - at[1])) / (12 * step))
    return np.array(columns).T


def by_derivatives(chip: ChipWcs, old: WCS, new: WCS, step: float = 20.0) -> ChipWcs:
    """TweakBack's way: the reference point through the product, CD times the inverse derivative, repeated."""
    reference = np.array(chip.crpix)
    moved = chip
    sky = new.wcs_pix2world(old.wcs_world2pix([chip.crval], 1), 1)[0]
    moved = replace(moved, crval=(float(sky[0]), float(sky[1])))

    def linear(one: ChipWcs) -> WCS:
        wcs = WCS(naxis=2)
        wcs.wcs.crpix, wcs.wcs.crval, wcs.wcs.cd = one.crpix, one.crval, one.cd_matrix
        wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
        return wcs

    for _ in range(5):
        here, there = linear(chip), linear(moved)

        def chain(place: np.ndarray, here: WCS = here, there: WCS = there) -> np.ndarray:
            pixels = old.wcs_world2pix(here.wcs_pix2world([place], 1), 1)
            return there.wcs_world2pix(new.wcs_pix2world(pixels, 1), 1)[0]

        jacobian = five_point_jacobian(chain, reference, step)
        moved = replace(moved, cd=tuple((moved.cd_matrix @ jacobian).ravel()))
    return moved


def test_it_agrees_with_derivatives_by_five_points() -> None:
    product = plain_chip((4400, 4300), (150.0, 2.2), 0.05)
    new = corrected(product, (1.2, -0.8), 0.06, 1.0002, 3.0)
    move = product_move(WcsSolution("", "A", (product,)), WcsSolution("", "B", (new,)))
    for extver in (1, 2):
        chip = wide_chip(extver)
        ours = carried_back(WcsSolution("j", "A", (chip,)), move, "B").chips[0]
        theirs = by_derivatives(chip, astropy_wcs(product), astropy_wcs(new))
        places = [pixel_to_sky(one, PLACES[:, 0], PLACES[:, 1]) for one in (ours, theirs)]
        assert np.abs(difference(*places)).max() < 0.1


def test_a_matrix_between_two_planes_is_exact() -> None:
    old = plain_chip((4400, 4300), (150.0, 60.0), 0.05)
    new = corrected(old, (2.0, 1.0), 0.1, 1.0003, 10.0)
    matrix = directions_between(old, new)
    pixels = PLACES
    for place in pixels:
        vectors = []
        for chip in (old, new):
            ra, dec = np.radians(astropy_wcs(chip).wcs_pix2world([place], 0)[0])
            vectors.append(np.array([np.cos(dec) * np.cos(ra), np.cos(dec) * np.sin(ra), np.sin(dec)]))
        moved = matrix @ vectors[0]
        assert np.degrees(np.linalg.norm(moved / np.linalg.norm(moved) - vectors[1])) * MAS < 1e-5


def found(*names: tuple[str, str]) -> list[FoundSolution]:
    """Solutions of a product: the primary, then alternates (name, key)."""
    chip = plain_chip()
    made = [FoundSolution(WcsSolution("", "NEW", (chip,)), WcsLocation("primary"))]
    return made + [
        FoundSolution(WcsSolution("", name, (chip,)), WcsLocation("alternate", key)) for name, key in names
    ]


def test_the_old_wcs_is_the_first_of_an_idctab_else_the_last() -> None:
    named = found(("OPUS", "O"), ("DRZWCS", "A"), ("IDC_abc", "B"), ("IDC_def", "C"))
    assert old_solution(named, "p").location.key == "B"
    assert old_solution(named, "p", "idc_DEF").location.key == "C"
    assert old_solution(named, "p", "a").location.key == "A"
    assert old_solution(found(("OPUS", "O"), ("A1", "A"), ("A2", "B")), "p").location.key == "B"
    with pytest.raises(UsageProblemError, match="no alternate WCS"):
        old_solution(found(("OPUS", "O")), "p")
    with pytest.raises(UsageProblemError, match="no alternate WCS nothing"):
        old_solution(named, "p", "nothing")


def test_what_is_no_move_of_a_product_is_refused() -> None:
    same = WcsSolution("", "A", (plain_chip(),))
    with pytest.raises(RefusedError, match="are the same"):
        product_move(same, replace(same, name="B"))
    with pytest.raises(RefusedError, match="distorted"):
        product_move(WcsSolution("", "A", (distorted_chip(),)), same)
    product = plain_chip((4400, 4300), (150.0, 2.2), 0.05)
    for shift, turn, scale in (((90.0, 0.0), 0.0, 1.0), ((0.1, 0.0), 1.5, 1.0), ((0.1, 0.0), 0.0, 1.02)):
        far = WcsSolution("", "B", (corrected(product, shift, turn, scale, 0.0),))
        with pytest.raises(RefusedError, match="no correction of its pointing"):
            product_move(WcsSolution("", "A", (product,)), far)
