"""The cosmic-ray test: against numpy, in blocks, tails, and the rates on exposures whose rays are known."""

from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from astropy.io import fits
from hapctl.ext import cpu
from hapctl.processing.imaging.chip_data import ExposureImage
from hapctl.processing.imaging.comparison import (
    comparison_halo,
    cte_direction,
    derivative,
    find_hits,
    find_hits_rows,
)
from hapctl.processing.imaging.parameters import CosmicRayParameters, DrizzleParameters, SeparateParameters
from hapctl.processing.imaging.passes import Comparison, compare_exposures
from hapctl.processing.imaging.prepared import PreparedChip
from hapctl.processing.simulation import exposure_pixels, visit
from hapctl.processing.simulation.plan import VisitPlan
from hapctl.processing.simulation.visit import simulate_visit
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from support.chips import read_chips
from support.data import data_file
from support.prepared_chips import prepared_chip
from support.slow_comparison import hits, slope


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 12), st.integers(1, 70), st.integers(0, 2))
def test_agrees_with_numpy(seed: int, ny: int, nx: int, grow: int) -> None:
    rng = np.random.default_rng(seed)
    seen = rng.normal(20.0, 6.0, (ny, nx)).astype(np.float32)
    science = (seen + rng.normal(0.0, 12.0, seen.shape)).astype(np.float32)
    science[rng.random(seen.shape) < 0.1] += 500.0
    seen[rng.random(seen.shape) < 0.1] = np.nan
    science[rng.random(seen.shape) < 0.05] = np.nan
    parameters = CosmicRayParameters(snr=(4.0, 2.0), scale=(0.9, 0.3), grow=grow)
    found = find_hits(science, seen, parameters, sky=15.0, read_noise=3.0)
    decides = hits(
        science.astype(float),
        seen.astype(float),
        sky=15.0,
        read_noise=3.0,
        snr=(4.0, 2.0),
        scale=(0.9, 0.3),
        grow=grow,
    )
    assert np.array_equal(found, decides)
    np.testing.assert_allclose(
        derivative(seen)[np.isfinite(seen)], slope(seen)[np.isfinite(seen)], rtol=1e-6, atol=1e-5
    )


def test_derivative_uses_the_neighbours_there_are() -> None:
    flat = np.full((5, 6), 10.0, dtype=np.float32)
    assert not derivative(flat).any()
    step = flat.copy()
    step[:, 3:] = 14.0
    expected = np.zeros((5, 6))
    expected[:, 2:4] = 4.0
    assert np.array_equal(derivative(step), expected)
    hole = flat.copy()
    hole[2, 2] = np.nan
    around = np.zeros((5, 6))
    around[[1, 2, 2, 3], [2, 1, 3, 2]] = 10.0  # what lies in the hole may be the sky
    found = derivative(hole)
    assert np.array_equal(np.where(np.isnan(hole), 0.0, found), around)


def single_hit(direction: int, **changes: object) -> np.ndarray:
    """Where one hit at row 10, column 20 marks an image of 21 x 40."""
    science = np.zeros((21, 40), dtype=np.float32)
    science[10, 20] = 1e4
    parameters = CosmicRayParameters(**changes)
    return find_hits(
        science, np.zeros_like(science), parameters, sky=30.0, read_noise=4.0, direction=direction
    )


@pytest.mark.parametrize("grow", [0, 1, 3])
def test_grow_is_a_radius(grow: int) -> None:
    expected = np.zeros((21, 40), dtype=bool)
    expected[10 - grow : 11 + grow, 20 - grow : 21 + grow] = True
    assert np.array_equal(single_hit(0, grow=grow), expected)


@pytest.mark.parametrize(("direction", "rows"), [(1, slice(9, 16)), (-1, slice(5, 12)), (0, slice(9, 12))])
def test_tails_run_one_way(direction: int, rows: slice) -> None:
    expected = np.zeros((21, 40), dtype=bool)
    expected[rows, 19:22] = True
    assert np.array_equal(single_hit(direction, grow=1, cte_grow=4), expected)


def test_tails_end_at_the_edge() -> None:
    assert np.array_equal(np.flatnonzero(single_hit(1, cte_grow=100)[:, 20]), np.arange(10, 21))
    assert np.array_equal(np.flatnonzero(single_hit(-1, cte_grow=100)[:, 20]), np.arange(11))


@pytest.mark.parametrize(
    ("primary", "chip", "direction"),
    [
        ({"INSTRUME": "ACS", "DETECTOR": "WFC", "CCDAMP": "ABCD"}, 1, -1),
        ({"INSTRUME": "ACS", "DETECTOR": "WFC", "CCDAMP": "ABCD"}, 2, 1),
        ({"INSTRUME": "ACS", "DETECTOR": "WFC", "CCDAMP": "B"}, 1, -1),
        ({"INSTRUME": "WFC3", "DETECTOR": "UVIS", "CCDAMP": "ABCD"}, 1, -1),
        ({"INSTRUME": "WFC3", "DETECTOR": "UVIS", "CCDAMP": "C"}, 2, 1),
        ({"INSTRUME": "ACS", "DETECTOR": "HRC", "CCDAMP": "C"}, 1, 1),
        ({"INSTRUME": "ACS", "DETECTOR": "HRC", "CCDAMP": "A"}, 1, -1),
        ({"INSTRUME": "ACS", "DETECTOR": "HRC", "CCDAMP": "ABCD"}, 1, 0),
        ({"INSTRUME": "STIS", "DETECTOR": "CCD", "CCDAMP": "D"}, 1, -1),
        ({"INSTRUME": "WFPC2"}, 3, 1),
        ({"INSTRUME": "WFC3", "DETECTOR": "IR", "CCDAMP": "ABCD"}, 1, 0),
        ({"INSTRUME": "ACS", "DETECTOR": "SBC"}, 1, 0),
    ],
)
def test_tails_run_away_from_the_amplifiers(primary: dict[str, str], chip: int, direction: int) -> None:
    assert cte_direction(fits.Header(primary), fits.Header({"CCDCHIP": chip})) == direction


def test_blocks_do_not_matter(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    science = rng.normal(30.0, 6.0, (90, 131))
    science[rng.random(science.shape) < 0.01] += 300.0
    chip = prepared_chip(tmp_path, science, sky=30.0)
    primary = {"INSTRUME": "ACS", "DETECTOR": "WFC", "CCDAMP": "ABCD"}
    chip.pixels.primary.update(primary)
    seen = rng.normal(0.0, 2.0, (90, 131)).astype(np.float32)
    seen[rng.random(seen.shape) < 0.01] = np.nan
    parameters = CosmicRayParameters(grow=2, cte_grow=5)
    whole = find_hits_rows(chip, seen, 0, 0, 90, parameters)
    assert cte_direction(chip.pixels.primary, chip.pixels.header) == -1
    halo = comparison_halo(parameters)
    for height in (1, 7, 64):
        for first in range(0, 90, height):
            last = min(first + height, 90)
            low, high = max(first - halo, 0), min(last + halo, 90)
            part = find_hits_rows(chip, seen[low:high], low, first, last, parameters)
            assert np.array_equal(part, whole[first:last])


def test_builds_give_the_same_bits() -> None:
    rng = np.random.default_rng(4)
    seen = rng.normal(10.0, 6.0, (40, 301)).astype(np.float32)
    science = (seen + rng.normal(0.0, 12.0, seen.shape)).astype(np.float32)
    seen[rng.random(seen.shape) < 0.02] = np.nan
    found = [hits_of(build, science, seen) for build in cpu.builds("compare").values()]
    assert all(one == found[0] for one in found)


def hits_of(build: ModuleType, science: np.ndarray, seen: np.ndarray) -> bytes:
    """The bytes of the hits by one build of the kernel."""
    found = np.zeros(seen.shape, dtype=np.uint8)
    build.find_hits(science, seen, 5.0, 16.0, (3.5, 2.5), (0.7, 0.3), 1, 2, 1, 0, found)
    return found.tobytes()


@dataclass(frozen=True)
class Known:
    """What is in a simulated chip: pixels hit by more than 5 sigma, untouched sky, and cores of stars."""

    hit: np.ndarray
    sky: np.ndarray
    core: np.ndarray


COUNTS = (2, 3, 4)


@pytest.fixture(scope="module")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[list[PreparedChip]], list[list[Known]]]:
    """Four ACS/WFC exposures of a small field with the light and the rays of each chip."""
    folder = tmp_path_factory.mktemp("rays")
    kept: list[list[np.ndarray]] = []
    make_rays = exposure_pixels.cosmic_ray_electrons
    expose = visit.expose

    def rays(*arguments: object) -> np.ndarray:
        kept[-1].append(make_rays(*arguments))  # type: ignore[arg-type]
        return kept[-1][-1]

    def exposed(light: np.ndarray, *arguments: object) -> object:
        kept.append([light])
        return expose(light, *arguments)  # type: ignore[arg-type]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(exposure_pixels, "cosmic_ray_electrons", rays)
        patch.setattr(visit, "expose", exposed)
        plan = VisitPlan(
            filters=("F606W",),
            exposures=max(COUNTS),
            chip_shape=(500, 600),
            stars=300,
            galaxies=20,
            pointing_error=0.0,
            roll_error=0.0,
            scale_error=0.0,
        )
        made = simulate_visit(folder, plan)
    exposures, known, pairs = [], [], iter(kept)
    for path in made.files:
        pixels = {chip.extver: chip for chip in ExposureImage(path).chips}
        with fits.open(path) as hdus:
            maps = read_chips(hdus)
        both = [(pixels[wcs.extver], wcs, *next(pairs)) for wcs in maps]
        skies = [float(np.median(light)) for _, _, light, _ in both]
        exposures.append([PreparedChip(both[k][0], both[k][1], skies[k], k) for k in range(len(both))])
        known.append([known_of(one, light, ray) for one, _, light, ray in both])
    return exposures, known


def known_of(pixels: object, light: np.ndarray, rays: np.ndarray) -> Known:
    """Sort the pixels of a chip; next to full wells nothing is asked."""
    quality = pixels.quality()  # type: ignore[attr-defined]
    sigma = np.sqrt(light + 4.35**2)
    full = ndimage.binary_dilation((quality & 256) != 0, iterations=3)
    usual = (quality & (4 | 16 | 64)) == 0
    clean = usual & ~full & ~ndimage.binary_dilation(rays > 0, np.ones((5, 5)))
    core = light - np.median(light) > 30.0 * sigma
    return Known((rays > 5.0 * sigma) & usual & ~full, clean & ~core, clean & core)


def rates(found: Comparison, known: list[list[Known]]) -> tuple[float, float, float]:
    """Shares of the hits found, and of false alarms on sky and on cores, among the pixels tested."""
    shares = []
    for name in ("hit", "sky", "core"):
        flagged = total = 0
        for masks, without, chips in zip(found.hits, found.untested, known, strict=True):
            for mask, untested, one in zip(masks, without, chips, strict=True):
                wanted = getattr(one, name) & ~untested.rows(0, untested.shape[0])
                flagged += int((wanted & mask.rows(0, mask.shape[0])).sum())
                total += int(wanted.sum())
        shares.append(flagged / total)
    return shares[0], shares[1], shares[2]


@pytest.mark.parametrize(("count", "caught"), [(2, 0.93), (3, 0.985), (4, 0.99)])
def test_rates_on_a_simulated_visit(
    simulated: tuple[list[list[PreparedChip]], list[list[Known]]], count: int, caught: float
) -> None:
    exposures, known = simulated
    parameters = DrizzleParameters(separate=SeparateParameters(bits="16,64"))
    found = compare_exposures(exposures[:count], parameters)
    hit, sky, core = rates(found, known[:count])
    assert hit > caught
    assert sky < 2.5e-5
    assert core < 1e-3


def test_a_real_hrc_header_tells_the_direction() -> None:
    chip = ExposureImage(data_file("hrc_47tuc/j8bt05njq_flt.fits")).chips[0]
    assert chip.primary["CCDAMP"] == "C"
    assert cte_direction(chip.primary, chip.header) == 1


@pytest.mark.parametrize("build", list(cpu.builds("compare")))
def test_radii_below_zero_are_refused(build: str) -> None:
    kernel = cpu.builds("compare")[build]
    image, hits = np.ones((4, 5), dtype=np.float32), np.zeros((4, 5), dtype=np.uint8)
    for grow, tail in ((-1, 0), (0, -1)):
        with pytest.raises(ValueError, match="below 0"):
            kernel.find_hits(image, image, 0.0, 1.0, (4.0, 3.0), (1.0, 0.7), grow, tail, 1, 0, hits)
    with pytest.raises(ValueError, match="below 0"):
        kernel.take_lowest(image, image, image, np.ones((4, 5), np.uint16), (4.0, 3.0), (1.0, 0.5), 6.0, -1)
