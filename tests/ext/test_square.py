"""The square kernel on single quadrilaterals: areas against a slow obvious reference, and the odd cases."""

import numpy as np
import pytest
from hapctl.ext.square import quad_shares
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from support.slow_drizzle import clipped_area, polygon_area

SHAPE = (9, 11)
positions = st.floats(1.0, 7.0)
places = st.floats(-20.0, 30.0) | st.floats(-1e5, 1e5)


def reference_shares(corners: np.ndarray) -> np.ndarray:
    """Overlap / area of every output pixel by clipping the polygon to it."""
    area = polygon_area(corners)
    return np.array(
        [[clipped_area(corners, column, row) / area for column in range(SHAPE[1])] for row in range(SHAPE[0])]
    )


@pytest.mark.parametrize(
    "corners",
    [
        [(2, 2), (3, 2), (3, 3), (2, 3)],
        [(2.5, 2.5), (3.5, 2.5), (3.5, 3.5), (2.5, 3.5)],
        [(2.5, 2.5), (2.5, 3.5), (3.5, 3.5), (3.5, 2.5)],
        [(4, 1), (7, 4), (4, 7), (1, 4)],
        [(1.3, 1.1), (6.9, 2.2), (6.1, 6.8), (1.9, 5.2)],
        [(1, 3), (5, 3), (5, 3.001), (1, 3.001)],
        [(1, 1), (1, 1), (4, 2), (2, 4)],
        [(1, 1), (3, 3), (5, 5.0000001), (2, 6)],
        [(3.2, 3.3), (3.4, 3.3), (3.4, 3.45), (3.2, 3.45)],
    ],
)
def test_shares_are_the_clipped_areas(corners: list[tuple[float, float]]) -> None:
    points = np.array(corners, dtype=float)
    np.testing.assert_allclose(quad_shares(points, SHAPE), reference_shares(points), rtol=0, atol=1e-9)


def test_one_pixel_gets_all_of_itself() -> None:
    shares = quad_shares([(2.5, 3.5), (3.5, 3.5), (3.5, 4.5), (2.5, 4.5)], SHAPE)
    assert shares[4, 3] == 1.0
    assert shares.sum() == 1.0


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(positions, positions), min_size=4, max_size=4))
def test_convex_quadrilaterals_of_any_shape_and_turn(corners: list[tuple[float, float]]) -> None:
    middle = np.mean(corners, axis=0)
    turned = sorted(corners, key=lambda point: np.arctan2(point[1] - middle[1], point[0] - middle[0]))
    points = np.array(turned)
    assume(abs(polygon_area(points)) > 1e-3)
    assume(is_simple(points))
    shares = quad_shares(points, SHAPE)
    assert shares.sum() == pytest.approx(1.0, abs=1e-9)
    np.testing.assert_allclose(shares, reference_shares(points), rtol=0, atol=1e-8)
    np.testing.assert_allclose(quad_shares(points[::-1], SHAPE), shares, rtol=0, atol=1e-9)
    np.testing.assert_allclose(quad_shares(np.roll(points, 1, axis=0), SHAPE), shares, rtol=0, atol=1e-9)


def is_simple(points: np.ndarray) -> bool:
    """Sorted about the middle a quadrilateral is simple, unless the middle lies outside of it."""
    from itertools import pairwise

    def turn(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> float:
        return float((b[0] - a[0]) * (c[1] - a[1]) - (c[0] - a[0]) * (b[1] - a[1]))

    ring = [*points, *points]
    turns = [turn(a, b, c) for (a, b), (_, c) in pairwise(pairwise(ring))][:4]
    return all(value > -1e-12 for value in turns)


@settings(max_examples=200, deadline=None)
@given(places, places, st.floats(0.02, 60), st.floats(0.02, 60), st.floats(0, 6.3))
def test_shares_are_never_negative_nor_above_one(
    x: float, y: float, width: float, height: float, angle: float
) -> None:
    box = np.array([(0, 0), (width, 0), (width, height), (0, height)])
    turn = np.array([(np.cos(angle), -np.sin(angle)), (np.sin(angle), np.cos(angle))])
    shares = quad_shares(box @ turn.T + (x, y), SHAPE)
    assert (shares >= 0).all()
    assert shares.sum() <= 1.0 + 1e-9


@pytest.mark.parametrize(
    "corners",
    [
        [(2, 2), (2, 2), (2, 2), (2, 2)],
        [(2, 2), (3, 3), (4, 4), (5, 5)],
        [(2, 2), (4, 2), (4, 2), (2, 2)],
        [(2, 2), (4, 4), (4, 2), (2, 4)],  # a bow tie
        [(2, 2), (4, 2), (2, 3), (4, 5)],
        [(np.nan, 2), (4, 2), (4, 4), (2, 4)],
        [(2, 2), (4, 2), (np.inf, 4), (2, 4)],
        [(-np.inf, 2), (4, 2), (np.inf, 4), (2, 4)],
        [(-500, 2), (500, 2), (500, 3), (-500, 3)],
        [(20, 20), (21, 20), (21, 21), (20, 21)],
        [(-3, -3), (-2, -3), (-2, -2), (-3, -2)],
        [(1e300, 2), (1e300, 3), (2, 3), (2, 2)],
    ],
)
def test_what_has_no_area_or_no_place_contributes_nothing(corners: list[tuple[float, float]]) -> None:
    assert not quad_shares(corners, SHAPE).any()


def test_a_quadrilateral_over_the_edge_is_cut_there() -> None:
    points = np.array([(-2.0, 3.0), (2.0, 3.0), (2.0, 5.0), (-2.0, 5.0)])
    shares = quad_shares(points, SHAPE)
    assert shares.sum() == pytest.approx(2.5 / 4.0, abs=1e-12)
    np.testing.assert_allclose(shares, reference_shares(points), rtol=0, atol=1e-12)


def test_the_widest_quadrilateral_is_laid_out_whole() -> None:
    points = np.array([(0.3, 0.1), (127.9, 30.0), (90.0, 127.8), (0.1, 100.0)])
    assert quad_shares(points, (140, 140)).sum() == pytest.approx(1.0, abs=1e-9)


@pytest.mark.parametrize("corners", [np.zeros((3, 2)), np.zeros((4, 3))])
def test_anything_but_four_corners_is_refused(corners: np.ndarray) -> None:
    with pytest.raises(ValueError, match="four corners"):
        quad_shares(corners, SHAPE)
