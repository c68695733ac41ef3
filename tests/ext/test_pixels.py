"""Pixels read from a file and laid out for a drizzle: the same as by arrays, in every vector build."""

import os
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from hapctl.ext.cpu import builds
from hapctl.ext.files import read_rows
from hypothesis import given, settings
from hypothesis import strategies as st

BUILDS = builds("pixels")
STRANGE = (np.nan, np.inf, -np.inf, 0.0, -0.0, 1e-42, 3e38)


@settings(deadline=None)
@given(
    rows=st.integers(1, 3),
    columns=st.integers(1, 150),
    left=st.integers(0, 20),
    masks=st.integers(0, 2),
    bad=st.sampled_from([0, 16, 0x8000, 0x5141]),
    build=st.sampled_from(sorted(BUILDS)),
    seed=st.integers(0, 999),
)
def test_values_and_weights(
    rows: int, columns: int, left: int, masks: int, bad: int, build: str, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    science = rng.normal(50.0, 20.0, (rows, columns)).astype(">f4")
    science.flat[: len(STRANGE)] = STRANGE[: science.size]
    flags = rng.choice([0, 16, 64, 0x4001, -0x8000], (rows, columns)).astype(">i2")
    images = [rng.random((rows, left + columns)) < 0.2 for _ in range(masks)]
    values, weights = np.full((2, rows, columns), 7.0, dtype=np.float32)
    BUILDS[build].values_and_weights(
        science.view(np.uint32),
        flags.view(np.uint16) if bad else np.empty((0, 0), dtype=np.uint16),
        bad,
        [np.packbits(image, axis=1) for image in images],
        left,
        1.55,
        0.98,
        41.5,
        507.0,
        3.0,
        values,
        weights,
    )
    good = np.isfinite(science) & ((flags.astype(np.uint16) & np.uint16(bad)) == 0)
    for image in images:
        good &= ~image[:, left:]
    unit, flux, sky, time = (np.float32(number) for number in (1.55, 0.98, 41.5, 507.0))
    with np.errstate(all="ignore"):
        expected = ((science.astype(np.float32) * unit) * flux - sky) / time
    assert np.array_equal(values, np.where(good, expected, np.float32(0.0)))
    assert np.array_equal(weights, np.where(good, np.float32(3.0), np.float32(0.0)))


@pytest.mark.parametrize("build", BUILDS.values())
def test_blocks_that_disagree_are_refused(build: ModuleType) -> None:
    raw, flags = np.zeros((2, 9), np.uint32), np.zeros((2, 9), np.uint16)
    values, weights = np.zeros((2, 2, 9), np.float32)
    mask = np.zeros((2, 2), np.uint8)
    wrong = [
        (raw[:1], flags, (mask,), 0, weights),
        (raw, flags[:, :8], (mask,), 0, weights),
        (raw, flags, (mask[:1],), 0, weights),
        (raw, flags, (mask,), 8, weights),
        (raw, flags, (mask,), -1, weights),
        (raw, flags, (mask,) * 3, 0, weights),
        (raw, flags, (mask,), 0, weights[:, ::-1]),
    ]
    for first, second, masks, left, third in wrong:
        with pytest.raises(ValueError, match="disagree"):
            build.values_and_weights(first, second, 1, masks, left, 1.0, 1.0, 0.0, 1.0, 1.0, values, third)


def test_pieces_of_rows_are_read(tmp_path: Path) -> None:
    content = np.random.default_rng(1).integers(0, 256, 1000, dtype=np.uint8)
    path = tmp_path / "bytes"
    path.write_bytes(content.tobytes())
    descriptor = os.open(path, os.O_RDONLY)
    try:
        for offset, stride, rows, count in ((3, 90, 11, 40), (0, 100, 10, 100), (999, 1, 1, 1), (5, 7, 4, 0)):
            block = np.zeros((rows, count), dtype=np.uint8)
            assert read_rows(descriptor, offset, stride, block)
            for row in range(rows):
                start = offset + row * stride
                assert np.array_equal(block[row], content[start : start + count])
        assert not read_rows(descriptor, 990, 90, np.zeros((1, 11), dtype=np.uint8))
    finally:
        os.close(descriptor)
    with pytest.raises(OSError, match="can't be read"):
        read_rows(descriptor, 0, 1, np.zeros((1, 1), dtype=np.uint8))


@pytest.mark.parametrize("build", sorted(BUILDS))
@pytest.mark.parametrize("columns", [0, 1, 7, 16, 100])
@pytest.mark.parametrize("strange", [False, True])
def test_variances_of_errors(build: str, columns: int, strange: bool) -> None:
    rng = np.random.default_rng(columns)
    errors = rng.uniform(0.1, 9.0, (3, columns)).astype(">f4")
    if strange:
        errors.flat[: len(STRANGE)] = STRANGE[: errors.size]
    variances = np.full((3, columns), 7.0, dtype=np.float32)
    unit, factor = np.float32(1.55), np.float32(0.04)
    with np.errstate(all="ignore"):
        scaled = errors.astype(np.float32) * unit
        usable = (scaled > 0) & (scaled < np.inf)
        expected = np.where(usable, scaled * scaled * factor, np.float32(np.nan))
    found = BUILDS[build].variances_of_errors(errors.view(np.uint32), unit, factor, variances)
    assert found == usable.all()
    assert np.array_equal(variances, expected, equal_nan=True)
    if columns:
        with pytest.raises(ValueError, match="disagree"):
            BUILDS[build].variances_of_errors(errors.view(np.uint32), unit, factor, variances[:2])
