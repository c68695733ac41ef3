"""Differences of sky on overlaps, against skies that are known."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hapctl.processing.imaging.chip_sample import sample_chip
from hapctl.processing.imaging.grid import map_to_grid
from hapctl.processing.imaging.parameters import SkyParameters
from hapctl.processing.imaging.sky import measure_skies
from hapctl.processing.imaging.sky_cells import (
    CellValues,
    cell_grid,
    chip_cells,
    clipped_means,
    clipping_reaches,
    merged_cells,
)
from hapctl.processing.imaging.sky_match import match_skies
from hapctl.processing.imaging.sky_statistics import Clipping
from hypothesis import given, settings
from hypothesis import strategies as some
from support.sky_exposures import SkyField, open_exposure, sky_field
from support.synthetic_chips import plain_chip

SHAPE = (300, 400)


def largest_error(field: SkyField, parameters: SkyParameters | None = None) -> float:
    """Largest error of a difference between two exposures, in the noise of a sky pixel of the two."""
    found = measure_skies(field.exposures, parameters or SkyParameters(method="match"))
    rates = [
        sky.subtract / chip.exposure_time for (sky,), (chip,) in zip(found, field.exposures, strict=True)
    ]
    assert min(rates) == 0.0
    wrong = np.array(rates) - field.skies
    noise = np.hypot(field.noises[:, None], field.noises[None, :]) / np.sqrt(2.0)
    return float(np.max(np.abs(wrong[:, None] - wrong[None, :]) / noise))


@pytest.mark.parametrize("exposures", [2, 5, 8])
def test_crowded_fields_with_cosmic_rays(tmp_path: Path, exposures: int) -> None:
    assert largest_error(sky_field(tmp_path, [500.0] * exposures)) < 0.01


def test_very_crowded_field(tmp_path: Path) -> None:
    assert largest_error(sky_field(tmp_path, [500.0] * 3, stars=30_000)) < 0.03  # a star in 19 pixels


def test_mixed_exposure_times(tmp_path: Path) -> None:
    assert largest_error(sky_field(tmp_path, [120.0, 400.0, 1000.0])) < 0.02


def test_large_chips_are_sampled(tmp_path: Path) -> None:
    rng = np.random.default_rng(4)
    shape, levels = (1600, 1700), (30.0, 42.0)
    exposures = []
    for i, level in enumerate(levels):
        chip = plain_chip(shape, (150.0 + 20.0 * i / 3600.0, 2.0), angle_deg=10.0 * i)
        exposures.append(open_exposure(tmp_path / f"{i}_flt.fits", [rng.normal(level, 6.0, shape)], [chip]))
    assert sample_chip(exposures[0][0], 0).step == 3
    first, second = (sky.subtract for (sky,) in measure_skies(exposures, SkyParameters(method="match")))
    assert (first, second) == (0.0, pytest.approx(12.0, abs=0.02 * 6.0))


def flat(folder: Path, name: str, rates: Sequence[float], place: float, time: float = 100.0) -> list:
    """An exposure of flat chips in a row, places in widths of a chip (20 arcsec)."""
    rng = np.random.default_rng(len(name) + int(10 * place))
    chips = [plain_chip(SHAPE, (150.0 + (place + 1.2 * i) * 20.0 / 3600.0, 2.0)) for i in range(len(rates))]
    images = [rng.normal(rate * time, 3.0, SHAPE) for rate in rates]
    return open_exposure(folder / f"{name}_flt.fits", images, chips, primary={"EXPTIME": time})


def test_groups_without_overlap_stand_by_themselves(tmp_path: Path) -> None:
    exposures = [
        flat(tmp_path, "a", [0.5], 0.0),
        flat(tmp_path, "b", [0.8], 0.5, 200.0),
        flat(tmp_path, "c", [3.0], 5.0),
        flat(tmp_path, "d", [2.0], 5.5),
        flat(tmp_path, "e", [9.0], 20.0),
    ]
    found = [sky for (sky,) in measure_skies(exposures, SkyParameters(method="match"))]
    assert [sky.subtract for sky in found] == pytest.approx([0.0, 60.0, 100.0, 0.0, 0.0], abs=0.1)
    assert [sky.level for sky in found] == pytest.approx([50.0, 160.0, 300.0, 200.0, 900.0], abs=0.1)
    assert "no overlap" in found[4].why
    assert all("1 exposures connected" in sky.why for sky in found[:4])
    both = [sky for (sky,) in measure_skies(exposures, SkyParameters(method="globalmin+match"))]
    assert [sky.subtract for sky in both] == pytest.approx([50.0, 160.0, 150.0, 50.0, 50.0], abs=0.2)
    assert "faintest" in both[4].why


def test_neighbours_that_only_touch_do_not_overlap(tmp_path: Path) -> None:
    exposures = [flat(tmp_path, "a", [0.5], 0.0), flat(tmp_path, "b", [0.8], 1.0)]
    found = measure_skies(exposures, SkyParameters(method="match"))
    assert [sky.subtract for (sky,) in found] == [0.0, 0.0]


def test_a_chain_of_overlaps(tmp_path: Path) -> None:
    rates = [0.5, 0.9, 0.2, 0.7]
    exposures = [flat(tmp_path, f"e{i}", [rate], 0.7 * i) for i, rate in enumerate(rates)]
    found = [sky.subtract for (sky,) in measure_skies(exposures, SkyParameters(method="match"))]
    assert found == pytest.approx([30.0, 70.0, 0.0, 50.0], abs=0.15)


def test_chips_of_one_exposure_share_its_sky(tmp_path: Path) -> None:
    exposures = [flat(tmp_path, "a", [0.5, 0.5], 0.0), flat(tmp_path, "b", [0.8, 0.8], 0.3)]
    found = measure_skies(exposures, SkyParameters(method="match"))
    assert [sky.subtract for sky in found[1]] == pytest.approx([30.0, 30.0], abs=0.1)
    assert found[1][0].subtract == found[1][1].subtract


@pytest.mark.parametrize("broken", ["nan", "flagged", "constant"])
def test_an_unusable_exposure_does_no_harm(tmp_path: Path, broken: str) -> None:
    exposures = [flat(tmp_path, "a", [0.5], 0.0), flat(tmp_path, "b", [0.8], 0.3)]
    image = np.full(SHAPE, {"nan": np.nan, "flagged": 70.0, "constant": 70.0}[broken])
    flags = np.full(SHAPE, 4 if broken == "flagged" else 0)
    chip = plain_chip(SHAPE, (150.001, 2.0))
    exposures.append(open_exposure(tmp_path / "c_flt.fits", [image], [chip], flags=[flags]))
    found = [sky for (sky,) in measure_skies(exposures, SkyParameters(method="match"))]
    expected = 20.0 if broken == "constant" else 0.0
    assert [sky.subtract for sky in found] == pytest.approx([0.0, 30.0, expected], abs=0.1)


def test_photon_counters(tmp_path: Path) -> None:
    rng = np.random.default_rng(8)
    exposures = []
    for i, rate in enumerate((0.02, 0.05)):
        chip = plain_chip(SHAPE, (150.0 + 0.0005 * i, 2.0))
        exposures.append(open_exposure(tmp_path / f"{i}_flt.fits", [rng.poisson(rate, SHAPE)], [chip]))
    found = [sky.subtract for (sky,) in measure_skies(exposures, SkyParameters(method="match"))]
    assert found == pytest.approx([0.0, 0.03], abs=0.003)


def test_threads_do_not_change_skies(tmp_path: Path) -> None:
    field = sky_field(tmp_path, [500.0, 300.0, 400.0], stars=500)
    parameters = SkyParameters(method="globalmin+match")
    assert measure_skies(field.exposures, parameters) == measure_skies(field.exposures, parameters, threads=3)


def test_cells_are_those_of_the_grid(tmp_path: Path) -> None:
    ((chip,),) = exposures = [flat(tmp_path, "a", [0.5], 0.0)]
    grid, sample = cell_grid(exposures), sample_chip(chip, 0)
    found = chip_cells(chip, sample, grid, Clipping(rounds=0))
    x, y = (np.rint(part).astype(int) for part in map_to_grid(chip.wcs, grid, *sample.positions()))
    image = chip.pixels.science().ravel()
    pick = int(np.argmax(found.cover))
    own = image[y * grid.shape[1] + x == found.cells[pick]]
    unit = 0.05**2 * 100.0
    assert found.values[pick] == pytest.approx(own.mean(dtype=np.float64) / unit, rel=1e-6)
    assert found.variances[pick] == pytest.approx(own.var(dtype=np.float64) / own.size / unit**2, rel=1e-4)
    assert found.cover[pick] == pytest.approx(1.0, abs=0.1)
    brighter = chip_cells(
        replace(chip, flux_factor=2.0), sample_chip(replace(chip, flux_factor=2.0), 0), grid
    )
    assert np.median(brighter.values) == pytest.approx(2.0 * np.median(found.values), rel=0.01)


@given(
    some.lists(some.tuples(some.integers(-3, 5), some.floats(-1e4, 1e4, width=32)), max_size=80),
    some.integers(0, 4),
    some.one_of(some.none(), some.floats(0.0, 1e3)),
)
@settings(max_examples=80, deadline=None)
def test_clipped_means_against_plain_loops(
    pairs: list[tuple[int, float]], rounds: int, half_width: float | None
) -> None:
    numbers = np.array([number for number, _ in pairs], dtype=np.int64)
    values = np.array([value for _, value in pairs], dtype=np.float32)
    cells, means, variances, counts = clipped_means(numbers, values, Clipping(rounds, 2.0, 2.5), half_width)
    assert cells.tolist() == sorted(set(numbers.tolist()))
    for cell, mean, variance, count in zip(cells, means, variances, counts, strict=True):
        own = values[numbers == cell]
        assert count == own.size
        low, high = own.min(), own.max()
        assert low - 0.01 - 1e-5 * abs(low) <= mean <= high + 0.01 + 1e-5 * abs(high)
        assert variance >= 0.0
        if rounds == 0 and half_width is None:
            assert mean == pytest.approx(own.mean(dtype=np.float64), abs=0.01)


def cells_of(numbers: Sequence[int], values: Sequence[float], cover: float = 1.0) -> CellValues:
    count = len(numbers)
    return CellValues(
        np.array(numbers, dtype=np.int64), np.array(values, float), np.ones(count), np.full(count, cover)
    )


def test_outliers_lose_their_weight() -> None:
    rng = np.random.default_rng(5)
    scene = rng.normal(0.0, 50.0, 500)
    skies = np.array([3.0, 0.0, 7.0])
    values = scene + skies[:, None] + rng.normal(0.0, 1.0, (3, 500))
    values[2, ::4] += rng.exponential(300.0, 125)
    found = match_skies([cells_of(range(500), row.tolist()) for row in values])
    assert found.differences == pytest.approx([3.0, 0.0, 7.0], abs=0.25)
    assert found.cells.tolist() == [500, 500, 500]
    assert len(set(found.groups.tolist())) == 1


def test_exact_values_are_solved_exactly() -> None:
    scene = np.arange(60.0)
    parts = [range(0, 30), range(20, 50), range(40, 60)]
    skies = [2.0, 5.0, 1.0]
    found = match_skies(
        [
            cells_of(part, (scene[part.start : part.stop] + sky).tolist())
            for part, sky in zip(parts, skies, strict=True)
        ]
    )
    assert found.differences == pytest.approx([1.0, 4.0, 0.0], abs=1e-9)
    assert found.cells.tolist() == [10, 20, 10]


def test_thin_overlaps_do_not_count() -> None:
    few = match_skies([cells_of(range(20), [1.0] * 20), cells_of(range(17, 40), [5.0] * 23)])
    assert few.cells.tolist() == [0, 0]
    assert few.differences.tolist() == [0.0, 0.0]
    thin = match_skies([cells_of(range(20), [1.0] * 20), cells_of(range(20), [5.0] * 20, cover=0.5)])
    assert thin.cells.tolist() == [0, 0]
    assert len(set(thin.groups.tolist())) == 2
    nothing = cells_of([], [])
    assert match_skies([nothing, nothing]).differences.tolist() == [0.0, 0.0]


def test_cells_of_two_chips_are_merged() -> None:
    found = merged_cells([cells_of([3, 4], [10.0, 20.0], 0.25), cells_of([4, 9], [40.0, 5.0], 0.75)])
    assert found.cells.tolist() == [3, 4, 9]
    assert found.values.tolist() == pytest.approx([10.0, 35.0, 5.0])
    assert found.cover.tolist() == [0.25, 1.0, 0.75]
    assert found.variances.tolist() == pytest.approx([1.0, 0.0625 + 0.5625, 1.0])


def test_reaches() -> None:
    assert clipping_reaches([1.0, 4.0]) == pytest.approx([6.0, 12.0])
    assert clipping_reaches([]) == []
