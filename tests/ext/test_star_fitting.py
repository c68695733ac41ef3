"""The compiled fit of a star against scipy, and what it refuses."""

import numpy as np
import pytest
from hapctl.ext import star_fitting
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates, spline_filter
from scipy.optimize import least_squares

Array = NDArray[np.float64]
HALF, RADIUS = 28, 2
NOTHING = (np.zeros(2, dtype=np.intp), np.zeros(0, dtype=np.intp), np.zeros((0, 3)))


def model(sigma: float = 0.85) -> tuple[Array, Array]:
    """Samples and spline coefficients of a Gaussian."""
    nodes = (np.arange(2 * HALF + 1) - HALF) / star_fitting.OVERSAMPLING
    profile = np.exp(-0.5 * (nodes / sigma) ** 2)
    samples = np.outer(profile, profile) / (2 * np.pi * sigma**2)
    return samples, spline_filter(samples, order=3, mode="mirror")


def values(coefficients: Array, dx: Array, dy: Array) -> Array:
    """The spline at offsets, by scipy."""
    places = np.meshgrid(dy * 4.0 + HALF, dx * 4.0 + HALF, indexing="ij")
    result: Array = map_coordinates(coefficients, places, order=3, prefilter=False)
    return result


def image_of(coefficients: Array, stars: list[tuple[float, float, float]]) -> NDArray[np.float32]:
    """Noise-free stars (x, y, flux) on 40 x 40 pixels."""
    pixels = np.arange(40.0)
    image = np.zeros((40, 40))
    for x, y, flux in stars:
        image += flux * values(coefficients, np.clip(pixels - x, -6.9, 6.9), np.clip(pixels - y, -6.9, 6.9))
    return image.astype(np.float32)


def fitted(
    coefficients: Array, image: NDArray[np.float32], variance: NDArray[np.float32], **more: object
) -> dict:  # type: ignore[type-arg]
    """One star near (20, 20), as a dictionary."""
    given = {"near": NOTHING, "slope": 0.0, "psf_noise": 0.0, "odd_noise": 0.0, "start": (20.0, 20.0), **more}
    row = star_fitting.fit_stars(
        coefficients[None], np.ones((1, 1)), image, variance, np.array([given["start"]]),
        np.array([[20, 20]], dtype=np.intp), *given["near"], RADIUS, 30, given["slope"], given["psf_noise"],
        given["odd_noise"], True,
    )  # fmt: skip
    return dict(zip(star_fitting.FIT_COLUMNS, row[0], strict=True))


def test_the_fit_is_that_of_least_squares_and_so_are_its_errors() -> None:
    _, coefficients = model()
    steps = np.arange(-RADIUS, RADIUS + 1)
    random = np.random.default_rng(1)
    for x, y in ((20.0, 20.0), (20.37, 19.71), (19.55, 20.49)):
        error = random.uniform(3, 8, (40, 40))
        image = (image_of(coefficients, [(x, y, 3000.0)]) + error * random.normal(size=(40, 40)) + 11).astype(
            np.float32
        )
        variance = (error**2).astype(np.float32)
        variance[19, 21] = np.inf
        square = np.ix_(20 + steps, 20 + steps)
        weight = 1.0 / np.sqrt(variance[square].astype(float))

        def residual(
            unknown: Array, square: tuple = square, weight: Array = weight, image: Array = image
        ) -> Array:  # type: ignore[type-arg]
            a, b, flux, level = unknown
            shape = values(coefficients, 20 + steps - a, 20 + steps - b)
            residuals: Array = (weight * (image[square] - flux * shape - level)).ravel()
            return residuals

        solved = least_squares(residual, [20, 20, 2000, 0], x_scale=[0.1, 0.1, 100, 5], xtol=1e-14)
        errors = np.sqrt(np.diag(np.linalg.inv(solved.jac.T @ solved.jac)))
        fit = fitted(coefficients, image, variance)
        assert fit["x"] == pytest.approx(solved.x[0], abs=1e-5)
        assert fit["y"] == pytest.approx(solved.x[1], abs=1e-5)
        assert fit["flux"] == pytest.approx(solved.x[2], rel=1e-5)
        assert fit["background"] == pytest.approx(solved.x[3], abs=1e-2)
        assert fit["chi_squared"] == pytest.approx(2 * solved.cost, rel=1e-4)
        assert fit["freedom"] == 24 - 4
        names = ("x_err", "y_err", "flux_err")
        assert [fit[name] for name in names] == pytest.approx(errors[:3].tolist(), rel=1e-3)


def test_neighbours_are_taken_away_exactly() -> None:
    _, coefficients = model()
    image = image_of(coefficients, [(20.2, 20.1, 1000.0), (22.9, 18.7, 5000.0)])
    variance = np.full((40, 40), 9.0, dtype=np.float32)
    sources = np.array([[20.2, 20.1, 1000.0], [22.9, 18.7, 5000.0]])
    near = (np.array([0, 1], dtype=np.intp), np.array([1], dtype=np.intp), sources)
    alone, helped = fitted(coefficients, image, variance), fitted(coefficients, image, variance, near=near)
    assert abs(alone["x"] - 20.2) > 0.02
    assert helped["x"] == pytest.approx(20.2, abs=1e-4)
    assert helped["flux"] == pytest.approx(1000.0, rel=1e-4)
    assert helped["contamination"] > 0.1


def test_terms_are_added_by_the_basis_of_each_star() -> None:
    narrow, wide = model(0.8)[0], model(0.9)[0]
    terms = np.stack([spline_filter(part, order=3, mode="mirror") for part in (narrow, wide - narrow)])
    image = image_of(spline_filter(wide, order=3, mode="mirror"), [(20.3, 20.2, 1000.0)])
    variance = np.full((40, 40), 9.0, dtype=np.float32)
    pixel = np.array([[20, 20]] * 2, dtype=np.intp)
    none = (np.zeros(3, dtype=np.intp), NOTHING[1], NOTHING[2])
    basis = np.array([[1.0, 1.0], [1.0, 0.0]])
    right, wrong = star_fitting.fit_stars(
        terms, basis, image, variance, np.full((2, 2), 20.0), pixel, *none, 2, 20, 0.0, 0.0, 0.0, True
    )
    assert right[8] < 1e-4 < wrong[8]


def test_an_error_of_the_psf_is_an_error_of_the_position() -> None:
    _, coefficients = model()
    image, variance = image_of(coefficients, [(20.2, 20.1, 1e6)]), np.full((40, 40), 9.0, dtype=np.float32)
    exact = fitted(coefficients, image, variance)
    loose = fitted(coefficients, image, variance, psf_noise=1e-4, odd_noise=1e-4)
    even = fitted(coefficients, image, variance, psf_noise=1e-4)
    assert loose["x_err"] > 10 * exact["x_err"]
    assert exact["x_err"] <= even["x_err"] < loose["x_err"]


def test_corrections_lead_to_the_right_psf() -> None:
    random = np.random.default_rng(2)
    (start, coefficients), (truth, true_coefficients) = model(0.8), model(0.85)
    places = random.uniform(19.5, 20.5, (400, 2))
    images = [image_of(true_coefficients, [(x, y, 1e4)]) for x, y in places]
    image = np.concatenate(images, axis=1)
    pixel = np.column_stack([20 + 40 * np.arange(400), np.full(400, 20)]).astype(np.intp)
    stars = np.column_stack([places[:, 0] + 40 * np.arange(400), places[:, 1], np.full(400, 1e4)])
    variance = np.full(image.shape, 4.0, dtype=np.float32)
    change = star_fitting.node_corrections(
        coefficients[None], start[None], np.ones((400, 1)), image, variance, stars, pixel, 5, 0.0, 0.1
    )
    before, after = np.abs(start - truth).max(), np.abs(start + change[0] - truth)[8:-8, 8:-8].max()
    assert after < 0.2 * before


def test_squares_beyond_the_image_and_wrong_shapes_are_refused() -> None:
    _, coefficients = model()
    image, variance = np.zeros((40, 40), np.float32), np.ones((40, 40), np.float32)

    def call(pixel: tuple[int, int], terms: int, radius: int) -> None:
        star_fitting.fit_stars(
            coefficients[None], np.ones((1, terms)), image, variance, np.zeros((1, 2)),
            np.array([pixel], dtype=np.intp), *NOTHING, radius, 3, 0.0, 0.0, 0.0, True,
        )  # fmt: skip

    for pixel in ((1, 20), (20, 38), (-3, 5)):
        with pytest.raises(IndexError):
            call(pixel, 1, 2)
    for terms, radius in ((2, 2), (1, 7)):
        with pytest.raises(ValueError):
            call((20, 20), terms, radius)
