"""Pixels of exposure files: rows, flags, units, and files that are not what they should be."""

import gzip
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from hapctl.processing.dq_flags import bad_flags
from hapctl.processing.errors import UnusableFileError, UsageProblemError
from hapctl.processing.imaging.chip_data import ExposureImage
from support.data import data_file
from support.image_files import write_exposure


@pytest.mark.parametrize(
    ("bits", "bad"),
    [
        (0, 0xFFFF),
        ("0", 0xFFFF),
        (96, 0xFFFF - 96),
        ("64,32", 0xFFFF - 96),
        ("64+32", 0xFFFF - 96),
        ("64, 64", 0xFFFF - 64),
        ("~4096", 4096),
        ("~(64,32)", 96),
        (65535, 0),
        (None, 0),
        ("None", 0),
        ("INDEF", 0),
        ("", 0),
    ],
)
def test_flags_of_the_field(bits: int | str | None, bad: int) -> None:
    assert bad_flags(bits) == bad


@pytest.mark.parametrize("bits", ["64;32", "-1", "sixty", "64,,32", "~"])
def test_flags_that_are_none(bits: str) -> None:
    with pytest.raises(UsageProblemError):
        bad_flags(bits)


def test_agrees_with_astropy_on_flags() -> None:
    from astropy.nddata.bitmask import bitfield_to_boolean_mask, interpret_bit_flags

    dq = np.arange(-32768, 32768, 7, dtype=np.int16)
    for bits in ("64,32", "~4096", "0", "4096+16384"):
        expected = bitfield_to_boolean_mask(
            dq.astype(np.uint16), interpret_bit_flags(bits), good_mask_value=True
        )
        assert np.array_equal((dq.astype(np.uint16) & bad_flags(bits)) == 0, expected), bits


def test_rows_are_those_of_astropy(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    chips = [
        {"sci": rng.normal(size=(30, 40)), "err": rng.random((30, 40)), "dq": rng.integers(-9, 9, (30, 40))}
        for _ in range(2)
    ]
    path = write_exposure(tmp_path / "x_flt.fits", chips)
    packed = tmp_path / "y_flt.fits.gz"
    packed.write_bytes(gzip.compress(path.read_bytes()))
    for name in (path, packed):
        with ExposureImage(name) as exposure:
            assert [chip.extver for chip in exposure.chips] == [1, 2]
            for chip, truth in zip(exposure.chips, chips, strict=True):
                assert np.array_equal(chip.science(), truth["sci"].astype(np.float32))
                assert np.array_equal(chip.science(3, 11), truth["sci"][3:11].astype(np.float32))
                columns = slice(5, 9)
                assert np.array_equal(chip.science(3, 11, columns), chip.science(3, 11)[:, columns])
                assert np.array_equal(chip.good(0, 3, 11, columns), chip.good(0, 3, 11)[:, columns])
                error = chip.error(3, 4)
                assert error is not None
                assert np.array_equal(error, truth["err"][3:4].astype(np.float32))
                assert np.array_equal(chip.quality(29, 30), truth["dq"][29:].astype(np.int16).view(np.uint16))


def test_rows_are_read_by_many_threads(tmp_path: Path) -> None:
    image = np.arange(200 * 50, dtype=np.float32).reshape(200, 50)
    packed = tmp_path / "x_flt.fits.gz"
    packed.write_bytes(gzip.compress(write_exposure(tmp_path / "x.fits", [{"sci": image}]).read_bytes()))
    with ExposureImage(packed) as exposure, ThreadPoolExecutor(8) as pool:
        rows = list(pool.map(lambda row: exposure.chips[0].science(row, row + 1), [*range(200)] * 5))
    assert np.array_equal(np.concatenate(rows), np.tile(image, (5, 1)))


def test_constant_arrays_and_missing_planes(tmp_path: Path) -> None:
    path = write_exposure(tmp_path / "x_flt.fits", [{"sci": np.ones((6, 5))}])
    empty = fits.ImageHDU(name="DQ", ver=1)
    empty.header.update({"NPIX1": 5, "NPIX2": 6, "PIXVALUE": 16})
    with fits.open(path, mode="append") as hdus:
        hdus.append(empty)
    with ExposureImage(path) as exposure:
        chip = exposure.chips[0]
        assert chip.error() is None
        assert np.array_equal(chip.quality(), np.full((6, 5), 16, dtype=np.uint16))
        assert not chip.good(0).any()
        assert chip.good(16, 2, 4).shape == (2, 5)


def test_unsigned_flags(tmp_path: Path) -> None:
    flags = np.array([[0, 1], [40000, 65535]], dtype=np.uint16)
    path = write_exposure(tmp_path / "x_flt.fits", [{"sci": np.ones((2, 2))}])
    with fits.open(path, mode="append") as hdus:
        hdus.append(fits.ImageHDU(flags, name="DQ", ver=1))
    with ExposureImage(path) as exposure:
        assert np.array_equal(exposure.chips[0].quality(), flags)


def test_unknown_unit_is_refused(tmp_path: Path) -> None:
    path = write_exposure(tmp_path / "x_flt.fits", [{"sci": np.ones((2, 2))}], headers={"BUNIT": "JY"})
    with pytest.raises(UnusableFileError, match="BUNIT"):
        ExposureImage(path)


def test_truncated_pixels_are_named(tmp_path: Path) -> None:
    path = write_exposure(tmp_path / "x_flt.fits", [{"sci": np.ones((400, 50))}])
    path.write_bytes(path.read_bytes()[:20000])
    with pytest.raises(UnusableFileError, match="x_flt"), ExposureImage(path) as exposure:
        exposure.chips[0].science()


@pytest.mark.parametrize("content", [b"", b"no FITS", gzip.compress(b"SIMPLE", mtime=0)[:-5]])
def test_no_exposure(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / ("x_flt.fits.gz" if content[:2] == b"\x1f\x8b" else "x_flt.fits")
    path.write_bytes(content)
    with pytest.raises(UnusableFileError, match="x_flt"):
        ExposureImage(path)


def test_different_shapes_are_refused(tmp_path: Path) -> None:
    path = write_exposure(tmp_path / "x_flt.fits", [{"sci": np.ones((4, 5)), "dq": np.ones((5, 4))}])
    with pytest.raises(UnusableFileError, match="DQ"):
        ExposureImage(path)


def test_real_exposures_are_in_electrons() -> None:
    with ExposureImage(data_file("hrc_47tuc/j8bt06nyq_flt.fits")) as hrc:
        assert hrc.chips[0].read_noise == pytest.approx(4.71)
        assert hrc.chips[0].exposure_time == 60.0
    with ExposureImage(data_file("wfc3ir_goodss/ib6o21qnq_flt.fits.gz")) as infrared:
        chip = infrared.chips[0]
        with fits.open(infrared.path) as hdus:
            assert np.allclose(chip.science(), hdus["SCI"].data * hdus[0].header["EXPTIME"])
