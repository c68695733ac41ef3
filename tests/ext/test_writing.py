"""Byte order, sums and statistics of pixels as they are written, against numpy."""

import numpy as np
import pytest
from hapctl.ext.writing import big_endian, gather
from hypothesis import given, settings
from hypothesis import strategies as st

SHIFT = 11


@settings(deadline=None)
@given(st.integers(0, 4), st.integers(0, 40), st.integers(0, 99))
def test_big_endian(rows: int, columns: int, seed: int) -> None:
    words = np.random.default_rng(seed).integers(0, 2**32, (rows, columns + 3), dtype=np.uint32)[:, :columns]
    out = np.empty((rows, columns), dtype=np.uint32)
    assert big_endian(words, out) == int(words.sum(dtype=np.uint64))
    assert out.tobytes() == words.astype(">u4").tobytes()


@settings(deadline=None)
@given(planes=st.integers(0, 2), exposures=st.integers(1, 6), cut=st.integers(1, 5), seed=st.integers(0, 99))
def test_statistics_are_those_of_numpy_however_a_band_is_cut(
    planes: int, exposures: int, cut: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    weight = rng.normal(50.0, 40.0, (9, 31)).astype(np.float32)
    words = rng.integers(-(2**31), 2**31, (planes, 9, 31)).astype(np.int32)
    context = np.where(rng.random(words.shape) < 0.4, words, 0).astype(np.int32)
    context[:, :, 5:20] = context[:, :, 4:5]  # neighbours are mostly alike
    masks = rng.integers(-(2**31), 2**31, (exposures, planes)).astype(np.int32)
    weights, combinations = (
        np.zeros(1 << (31 - SHIFT), dtype=np.int64),
        np.zeros(1 << exposures, dtype=np.int64),
    )
    sums = np.zeros(9)
    for first in range(0, 9, cut):
        rows = slice(first, first + cut)
        part = np.ascontiguousarray(context[:, rows])
        gather(weight[rows], part, masks, SHIFT, weights, combinations, sums[rows])
    covered = (context != 0).any(axis=0) if planes else weight > 0
    assert np.allclose(sums, np.where(covered, weight, 0.0).sum(axis=1, dtype=np.float64), rtol=1e-12)
    bins = np.maximum(weight[covered], np.float32(0.0)).view(np.uint32) >> SHIFT
    assert np.array_equal(weights, np.bincount(bins, minlength=weights.size))
    code = np.zeros((9, 31), dtype=np.int64)
    for exposure in range(exposures):
        seen = ((context & masks[exposure, :, None, None]) != 0).any(axis=0)
        code |= seen.astype(np.int64) << exposure
    expected = np.bincount(code[covered], minlength=combinations.size) if planes else 0 * combinations
    assert np.array_equal(combinations, expected)


def test_arrays_that_disagree_are_refused() -> None:
    words = np.zeros((3, 4), dtype=np.uint32)
    for rows, out in ((words, words[:2].copy()), (words[:, ::2], np.zeros((3, 2), dtype=np.uint32))):
        with pytest.raises(ValueError, match="disagree"):
            big_endian(rows, out)
    weight, context = np.zeros((3, 4), dtype=np.float32), np.zeros((1, 3, 4), dtype=np.int32)
    masks, sums = np.zeros((2, 1), dtype=np.int32), np.zeros(3)
    weights, combinations = np.zeros(1 << (31 - SHIFT), dtype=np.int64), np.zeros(4, dtype=np.int64)
    wrong = [
        (weight[:2], context, masks, SHIFT, weights, combinations, sums),
        (weight, context[:, :2], masks, SHIFT, weights, combinations, sums),
        (weight, context, np.zeros((2, 2), dtype=np.int32), SHIFT, weights, combinations, sums),
        (weight, context, np.zeros((17, 1), dtype=np.int32), SHIFT, weights, combinations, sums),
        (weight, context, masks, SHIFT - 1, weights, combinations, sums),
        (weight, context, masks, 0, weights, combinations, sums),
        (weight, context, masks, SHIFT, weights, combinations[:3], sums),
        (weight, context, masks, SHIFT, weights, combinations, sums[:2]),
    ]
    for arguments in wrong:
        with pytest.raises(ValueError, match="disagree"):
            gather(*arguments)
