"""The passes of a drizzle: the same bits however they are cut, what is not tested, steps that do not run."""

import mmap
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hapctl.processing.errors import TooLargeError
from hapctl.processing.imaging import plane_store, separate_pass
from hapctl.processing.imaging.chip_sample import sample_step
from hapctl.processing.imaging.grid import OutputGrid, north_up_grid
from hapctl.processing.imaging.mask_file import PackedMask
from hapctl.processing.imaging.memory_plan import plan_memory
from hapctl.processing.imaging.observer import Observer
from hapctl.processing.imaging.parallel import do_parts, parts_in_order
from hapctl.processing.imaging.parameters import (
    CosmicRayParameters,
    DrizzleParameters,
    FinalParameters,
    MedianParameters,
    SeparateParameters,
)
from hapctl.processing.imaging.passes import (
    Comparison,
    compare_exposures,
    comparison_grid,
    drizzle_exposures,
    measure_exposures,
)
from hapctl.processing.imaging.prepared import PreparedChip
from hapctl.processing.imaging.static_mask import signature
from hapctl.processing.imaging.step_choice import choose_steps
from hapctl.processing.imaging.stopwatch import Stopwatch
from hapctl.processing.imaging.windows import Window, strips
from support.image_files import rayed_exposures
from support.prepared_chips import prepared_chip
from support.synthetic_chips import plain_chip

PARAMETERS = DrizzleParameters(
    cosmic_rays=CosmicRayParameters(scale=(1.5, 1.2), grow=1, cte_grow=3),
    final=FinalParameters(variance=False),
)


@pytest.fixture(scope="module")
def exposures(tmp_path_factory: pytest.TempPathFactory) -> list[list[PreparedChip]]:
    """Three dithered exposures of one chip with cosmic rays, some of its pixels flagged or NaN."""
    return rayed_exposures(tmp_path_factory.mktemp("rayed"), 3).exposures


@pytest.fixture(scope="module")
def compared(exposures: list[list[PreparedChip]]) -> Comparison:
    return compare_exposures(exposures, PARAMETERS)


def all_bits(comparison: Comparison) -> list[bytes]:
    masks = [*comparison.hits, *comparison.untested]
    return [mask.bits.tobytes() for chips in masks for mask in chips]


def final_bits(exposures: Sequence[Sequence[PreparedChip]], **options: Any) -> bytes:
    grid = north_up_grid([chip.wcs for chips in exposures for chip in chips])
    bands = list(drizzle_exposures(exposures, grid, PARAMETERS, **options))
    assert sum(band.sci.shape[0] for band in bands) == grid.shape[0]
    names = ("sci", "wht", "ctx")
    planes = [np.concatenate([getattr(band, name) for band in bands], axis=-2) for name in names]
    return b"".join(np.ascontiguousarray(plane).tobytes() for plane in planes)


@pytest.mark.parametrize("threads", [1, 2, 4])
@pytest.mark.parametrize("rows", [1, 7, 64, 10_000])
def test_the_same_bits_for_any_bands_blocks_and_threads(
    exposures: list[list[PreparedChip]], compared: Comparison, rows: int, threads: int
) -> None:
    again = compare_exposures(exposures, PARAMETERS, band_rows=rows, block_rows=rows, threads=threads)
    assert all_bits(again) == all_bits(compared)
    if rows > 1:
        expected = final_bits(compared.exposures)
        assert final_bits(compared.exposures, band_rows=rows, threads=threads) == expected


def test_a_scratch_file_holds_the_same_plane(
    exposures: list[list[PreparedChip]], compared: Comparison, tmp_path: Path
) -> None:
    again = compare_exposures(
        exposures, PARAMETERS, in_memory_bytes=0, masks_in_memory_bytes=0, scratch=tmp_path
    )
    assert all_bits(again) == all_bits(compared)
    assert final_bits(again.exposures) == final_bits(compared.exposures)
    kept = [again.chips[0][0].hits, again.chips[2][0].untested]
    assert all(isinstance(owner_of(mask.bits), mmap.mmap) for mask in kept)
    assert not isinstance(owner_of(compared.chips[0][0].hits.bits), mmap.mmap)
    assert list(tmp_path.iterdir()) == []  # they had no name


def owner_of(array: np.ndarray) -> object:
    """Who holds the memory of an array."""
    owner: Any = array
    while isinstance(owner, np.ndarray) and owner.base is not None:
        owner = owner.base
    return owner.obj if isinstance(owner, memoryview) else owner


@pytest.mark.parametrize("in_memory_bytes", [0, 10_000])
def test_masks_have_room_of_their_own(tmp_path: Path, in_memory_bytes: int) -> None:
    shapes = [(3, 17), (0, 5), (2, 8), (4, 1)]
    masks = plane_store.new_masks(shapes, in_memory_bytes=in_memory_bytes, folder=tmp_path)
    assert [mask.shape for mask in masks] == shapes
    assert sum(mask.bits.nbytes for mask in masks) == plane_store.masks_bytes(shapes) == 9 + 2 + 4
    assert not any(mask.count() for mask in masks)
    rng = np.random.default_rng(5)
    images = [rng.random(shape) < 0.5 for shape in shapes]
    for mask, image in zip(masks, images, strict=True):
        mask.bits[:] = np.packbits(image, axis=1)
    for mask, image in zip(masks, images, strict=True):
        assert np.array_equal(mask.rows(0, mask.shape[0]), image)


def test_a_full_disk_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(plane_store.os, "posix_fallocate", full)
    grid = OutputGrid((1.0, 2.0), (1.0, 1.0), (-1e-5, 0.0, 0.0, 1e-5), (1000, 1000))
    with pytest.raises(TooLargeError, match=r"scratch file of 4 MB in .*"):
        plane_store.new_plane(grid, in_memory_bytes=3_999_999, folder=tmp_path)
    with pytest.raises(TooLargeError, match=r"scratch file of 1 MB in .*"):
        plane_store.new_masks([(1000, 8000)], in_memory_bytes=999_999, folder=tmp_path)


def test_strips_of_columns_make_the_same_masks(
    exposures: list[list[PreparedChip]], compared: Comparison, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(separate_pass, "WIDEST_STRIP", 100)
    narrow = [compare_exposures(exposures, PARAMETERS, band_rows=rows, threads=3) for rows in (11, 500)]
    assert all_bits(narrow[0]) == all_bits(narrow[1])
    # a strip has its own grid: positions differ in the last place, a verdict next to never
    differing = sum(
        int((mask.rows(0, 240) ^ other.rows(0, 240)).sum())
        for chips, others in zip(narrow[0].hits, compared.hits, strict=True)
        for mask, other in zip(chips, others, strict=True)
    )
    assert differing <= 2
    assert separate_pass.widest_strip(4, 1) == 100
    assert strips(9217, 4608) == [(0, 3072), (3072, 6144), (6144, 9217)]


@pytest.mark.parametrize("exposures", [1, 32, 200, 1000, 3000])
def test_bands_of_many_exposures_keep_to_their_budget(exposures: int) -> None:
    width = separate_pass.widest_strip(exposures, 1)
    grid = OutputGrid((1.0, 2.0), (1.0, 1.0), (-1e-5, 0.0, 0.0, 1e-5), (20_000, 20_000))
    windows = [Window(0, 20_000, 0, 20_000)] * exposures
    rows = separate_pass.rows_of_a_band(grid, windows, (0, width), 1)
    assert rows >= separate_pass.LEAST_ROWS
    pixels = (rows + 2) * (width + 2)
    assert pixels * (separate_pass.SINGLE_BYTES * exposures + separate_pass.WORK_BYTES) <= (
        separate_pass.BAND_BYTES
    )
    assert width == 4608 or exposures > 200 - 1


class Kept(Observer):
    """Keeps what it sees."""

    takes_images = True

    def __init__(self, shape: tuple[int, int], count: int) -> None:
        self.singles = np.full((count, *shape), np.nan, dtype=np.float32)
        self.weights = np.zeros((count, *shape), dtype=np.float32)
        self.plane = np.full(shape, np.nan, dtype=np.float32)
        self.depth = np.zeros(shape, dtype=np.uint16)
        self.told: list[tuple[str, int, int]] = []
        self.seen: set[str] = set()

    def single(self, exposure: int, y0: int, x0: int, sci: np.ndarray, wht: np.ndarray) -> None:
        place = (exposure, slice(y0, y0 + sci.shape[0]), slice(x0, x0 + sci.shape[1]))
        self.singles[place], self.weights[place] = sci, wht

    def combined(self, y0: int, x0: int, plane: np.ndarray, depth: np.ndarray) -> None:
        place = (slice(y0, y0 + plane.shape[0]), slice(x0, x0 + plane.shape[1]))
        self.plane[place], self.depth[place] = plane, depth

    def blotted(self, exposure: int, chip: int, y0: int, rows: np.ndarray) -> None:
        self.seen.add("blotted")

    def masks(self, exposure: int, chip: int, hits: PackedMask, untested: PackedMask) -> None:
        self.seen.add("masks")

    def progress(self, step: str, done: int, total: int) -> None:
        self.told.append((step, done, total))


def test_an_observer_sees_the_intermediate_products(exposures: list[list[PreparedChip]]) -> None:
    grid = comparison_grid([chip.wcs for chips in exposures for chip in chips], PARAMETERS)
    kept = Kept(grid.shape, 3)
    clock = Stopwatch()
    compare_exposures(exposures, PARAMETERS, observer=kept, clock=clock, band_rows=50, threads=2)
    covered = (kept.weights >= 0.3 * 100.0).sum(axis=0)
    assert np.array_equal(kept.depth, covered)
    three = covered == 3
    middle = np.sort(kept.singles[:, three], axis=0)[:2].mean(axis=0)  # of three, without the highest
    lowest = kept.singles[:, three].min(axis=0)
    equal = np.isclose(kept.plane[three], middle, rtol=1e-5, atol=1e-6)
    assert equal.mean() > 0.95
    assert np.isclose(kept.plane[three][~equal], lowest[~equal], rtol=1e-5, atol=1e-6).all()
    assert kept.seen == {"blotted", "masks"}
    steps = {step for step, _, _ in kept.told}
    assert steps == {"separate", "cosmic_rays"}
    for step in steps:
        last = [(done, total) for name, done, total in kept.told if name == step][-1]
        assert last[0] == last[1]
    assert list(clock.seconds()) == ["separate", "median", "blot", "cosmic_rays"]
    assert all(seconds.processor > 0 for seconds in clock.seconds().values())


def test_static_masks_and_skies_tell_their_progress_and_why(exposures: list[list[PreparedChip]]) -> None:
    kept = Kept((1, 1), 3)
    measured = measure_exposures(exposures, PARAMETERS, observer=kept)
    chips = {signature(chip) for one in exposures for chip in one}
    steps = [("static_mask", len(chips)), ("sky", len(exposures))]
    assert kept.told == [(step, done, total) for step, total in steps for done in range(1, total + 1)]
    assert {chip.sky_why for one in measured for chip in one} == {"faintest chip"}


def test_pixels_of_one_exposure_are_untested(exposures: list[list[PreparedChip]]) -> None:
    first, second = exposures[0][0], exposures[1][0]
    away = replace(second.wcs, crpix=(second.wcs.crpix[0] + 150.0, second.wcs.crpix[1]))
    found = compare_exposures([[first], [replace(second, wcs=away)]], PARAMETERS)
    for (chip,), (hits,), (untested,) in zip(found.exposures, found.hits, found.untested, strict=True):
        assert chip.hits is hits
        alone = untested.rows(0, 240)
        assert 0.4 < alone.mean() < 0.8
        grown = PARAMETERS.cosmic_rays.grow + PARAMETERS.cosmic_rays.cte_grow
        columns = np.flatnonzero(~alone.all(axis=0))
        far = np.ones(260, dtype=bool)
        far[max(columns[0] - grown, 0) : columns[-1] + grown + 1] = False
        assert not hits.rows(0, 240)[:, far].any()


def test_exposures_that_do_not_overlap_are_not_compared(exposures: list[list[PreparedChip]]) -> None:
    first, second = exposures[0][0], exposures[1][0]
    away = replace(second.wcs, crpix=(second.wcs.crpix[0] + 900.0, second.wcs.crpix[1]))
    found = compare_exposures([[first], [replace(second, wcs=away)]], PARAMETERS)
    assert found.chips == ()
    assert found.exposures[0][0].hits is None
    assert "no two exposures" in found.note


def test_an_exposure_without_a_finite_pixel_tells_nothing(
    exposures: list[list[PreparedChip]], tmp_path: Path
) -> None:
    chip = exposures[1][0]
    nothing = prepared_chip(tmp_path, np.full(chip.shape, np.nan), wcs=chip.wcs, context_bit=1)
    found = compare_exposures([exposures[0], [nothing], *exposures[1:]], PARAMETERS)
    without_it = compare_exposures(exposures, PARAMETERS, grid=found.grid)
    assert all_bits(found)[0] == all_bits(without_it)[0]
    assert found.hits[1][0].count() == 0
    (band,) = drizzle_exposures([[nothing]], north_up_grid([chip.wcs]), PARAMETERS, band_rows=10_000)
    assert np.isnan(band.sci).all()
    assert not band.wht.any()


def test_one_exposure_is_not_compared(exposures: list[list[PreparedChip]]) -> None:
    found = compare_exposures(exposures[:1], PARAMETERS)
    assert (found.chips, found.grid) == ((), None)
    assert found.exposures == (tuple(exposures[0]),)
    assert "one exposure" in found.note


def without(*steps: str) -> DrizzleParameters:
    changes = {name: replace(getattr(PARAMETERS, name), enabled=False) for name in steps}
    return replace(PARAMETERS, **changes)


@pytest.mark.parametrize(
    ("disabled", "watched", "steps", "note"),
    [
        ((), False, (True, True, True, True), ""),
        (("separate", "blot"), False, (True, True, True, True), "needs separate and blot, which run too"),
        (("separate", "median", "blot"), True, (True, True, True, True), "needs separate, median and blot,"),
        (("cosmic_rays",), False, (False, False, False, False), ""),
        (("cosmic_rays",), True, (True, True, True, False), ""),
        (("cosmic_rays", "blot"), True, (True, True, False, False), ""),
        (
            ("cosmic_rays", "median"),
            True,
            (True, False, False, False),
            "blot needs median, which is disabled",
        ),
        (("cosmic_rays", "median", "blot"), True, (True, False, False, False), ""),
        (("cosmic_rays", "separate"), True, (False, False, False, False), "median needs separate"),
    ],
)
def test_which_steps_run(
    disabled: tuple[str, ...], watched: bool, steps: tuple[bool, ...], note: str
) -> None:
    chosen = choose_steps(without(*disabled), 2, watched=watched)
    assert (chosen.separate, chosen.median, chosen.blot, chosen.cosmic_rays) == steps
    assert note in chosen.note
    assert bool(note) == bool(chosen.note)


@pytest.mark.parametrize(
    ("disabled", "seen"), [("blot", set()), ("median", set()), ("static_mask", {"blotted"})]
)
def test_steps_without_cosmic_rays_serve_the_observer(
    exposures: list[list[PreparedChip]], disabled: str, seen: set[str]
) -> None:
    grid = comparison_grid([chip.wcs for chips in exposures for chip in chips], PARAMETERS)
    kept = Kept(grid.shape, 3)
    found = compare_exposures(exposures, without("cosmic_rays", disabled), observer=kept)
    assert found.chips == ()
    assert found.exposures == tuple(map(tuple, exposures))
    assert np.isfinite(kept.singles).any()
    assert np.isfinite(kept.plane).any() == (disabled != "median")
    assert kept.seen == seen


def test_exposure_times_may_differ(tmp_path: Path) -> None:
    rng = np.random.default_rng(8)
    chips = []
    for number, time in enumerate((50.0, 400.0, 900.0)):
        image = rng.poisson(np.full((120, 130), 0.5 * time)).astype(float)
        image[60, 20 * (number + 1)] += 3000.0
        wcs = plain_chip((120, 130), crval=(150.0, 2.0), angle_deg=10.0)
        moved = replace(wcs, crpix=(wcs.crpix[0] + 2.3 * number, wcs.crpix[1] - 1.4 * number))
        chips.append([prepared_chip(tmp_path, image, name=f"t{time:.0f}", time=time, wcs=moved)])
    measured = measure_exposures(chips, PARAMETERS)
    for (chip,) in measured:
        assert chip.sky == pytest.approx(0.5 * chip.exposure_time, rel=0.03)
    found = compare_exposures(measured, replace(PARAMETERS, cosmic_rays=CosmicRayParameters()))
    for number, (hits,) in enumerate(found.hits):
        where = hits.rows(0, 120)
        assert where[60, 20 * (number + 1)]
        assert where.mean() < 2e-3


def test_the_clean_plane_tells_the_noise_of_exposures_without_err(compared: Comparison) -> None:
    chip = compared.exposures[0][0]
    assert chip.clean is not None
    variance = chip.drizzle_input(0, True).read_variance
    assert variance is not None
    electrons = variance(0, 240, 0, 260) * 100.0**2
    clean = chip.clean(0, 240)
    known = np.isfinite(clean)
    model = chip.read_noise**2 + np.maximum(clean + chip.sky, 0.0)
    assert np.allclose(electrons[known], model[known], rtol=1e-4)
    hits = compared.hits[0][0].rows(0, 240)
    assert electrons[hits & known].mean() < 0.2 * chip.electrons()[hits & known].max()  # not that of the rays


def test_flags_of_earlier_tests_are_cleared(tmp_path: Path) -> None:
    quality = np.zeros((60, 70), dtype=np.int16)
    quality[10:20] = 4096
    quality[30:40] = 4096 | 16
    chip = prepared_chip(tmp_path, np.full((60, 70), 9.0), quality=quality)
    ((cleared,),) = measure_exposures([[chip]], PARAMETERS)
    assert cleared.good(0).sum() == 50 * 70
    kept = replace(PARAMETERS, cosmic_rays=CosmicRayParameters(reset_bits=0))
    (((same,),)) = measure_exposures([[chip]], kept)
    assert same.good(0).sum() == 40 * 70


def test_the_comparison_has_scale_and_rotation_of_the_first_chip_or_what_is_asked_for(
    exposures: list[list[PreparedChip]],
) -> None:
    chips = [chip.wcs for members in exposures for chip in members]
    native = comparison_grid(chips, PARAMETERS)
    assert native.scale_arcsec == pytest.approx(0.05, rel=1e-12)
    assert np.allclose(native.cd, np.ravel(chips[0].cd_matrix), rtol=1e-6)
    turned = comparison_grid(
        chips, replace(PARAMETERS, separate=SeparateParameters(scale=0.08, rotation=70.0))
    )
    assert turned.scale_arcsec == pytest.approx(0.08, rel=1e-12)
    assert np.degrees(np.arctan2(turned.cd[1], turned.cd[3])) == pytest.approx(70.0)
    for grid in (native, turned):
        assert grid.crpix == tuple(map(round, grid.crpix))


def test_memory_depends_on_depth_by_little_and_not_on_height() -> None:
    chips = [[(2048, 4096)] * 2]
    tall, high = (
        OutputGrid((1.0, 2.0), (1.0, 1.0), (-1e-5, 0.0, 0.0, 1e-5), (rows, 4400)) for rows in (4400, 20_000)
    )
    few, many, most = (
        plan_memory(chips * number, PARAMETERS, comparison=tall, final=tall) for number in (4, 200, 1000)
    )
    assert most.peak - many.peak < 800 * 1.3e6  # headers, WCS, reach
    assert most.scratch == 1000 * 2 * 2048 * 4096 * 2 // 8  # masks
    assert most.peak < 1.6e9
    apart = plan_memory(chips * 200, PARAMETERS, comparison=tall, final=tall, groups=2)
    assert apart.peak - many.peak == plane_store.MASKS_IN_MEMORY_BYTES
    deep = plan_memory(chips * 4, PARAMETERS, comparison=high, final=high, in_memory_bytes=0)
    assert deep.scratch == 4 * 20_000 * 4400
    assert deep.peak <= plan_memory(chips * 4, PARAMETERS, comparison=tall, final=tall).peak
    assert few.scratch == 0
    assert few.peak < 700e6
    with pytest.raises(TooLargeError, match=r"a test would need \d{3} MB") as refused:
        few.check(100_000_000, "a test")
    assert refused.value.exit_code == 5
    deep.check(deep.peak, "a test", deep.scratch)
    with pytest.raises(TooLargeError, match=r"a test would need 352 MB of disk for a while, 352 MB are free"):
        deep.check(deep.peak, "a test", deep.scratch - 1)


@pytest.mark.parametrize("shape", [(2048, 4096), (1025, 2048), (1014, 1014), (100, 100)])
def test_the_memory_of_skies_is_that_of_the_pixels_looked_at(shape: tuple[int, int]) -> None:
    chips = [[shape] * 2] * 4
    one, two = (plan_memory(chips, PARAMETERS, threads=number).peak for number in (1, 2))
    step = sample_step(shape)
    looked_at = len(range(step // 2, shape[0], step)) * len(range(step // 2, shape[1], step))
    assert two - one == pytest.approx(76 * looked_at, rel=0.01)
    assert plan_memory(chips[:1], PARAMETERS, threads=2).peak < one  # an exposure is one thread's


def test_parts_come_in_order_and_errors_end_the_work() -> None:
    assert list(parts_in_order(lambda part: part * part, range(50), 4)) == [k * k for k in range(50)]
    done: list[int] = []
    assert do_parts(lambda part: -part, range(9), 3, done.append) == [-part for part in range(9)]
    assert done == list(range(1, 10))

    def fails(part: int) -> int:
        if part == 3:
            raise TooLargeError("part 3")
        return part

    for threads in (1, 4):
        with pytest.raises(TooLargeError, match="part 3"):
            do_parts(fails, range(20), threads)
        with pytest.raises(TooLargeError, match="part 3"):
            list(parts_in_order(fails, range(20), threads))


@pytest.mark.parametrize("kind", ["median", "mean", "sum", "imedian"])
def test_other_ways_to_combine_find_rays_too(exposures: list[list[PreparedChip]], kind: Any) -> None:
    median = MedianParameters(type=kind, nhigh=1)
    found = compare_exposures(exposures, replace(PARAMETERS, median=median))
    assert all(mask.count() > 0 for chips in found.hits for mask in chips)
