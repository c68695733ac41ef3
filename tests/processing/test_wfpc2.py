"""WFPC2 from files in extensions: flags, units, two plate scales in one product."""

import gzip
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from hapctl.processing.astrometry.reading import read_solutions
from hapctl.processing.imaging.chip_data import ExposureImage
from hapctl.processing.imaging.detector_units import WFPC2_GAIN, WFPC2_READ_NOISE
from hapctl.processing.imaging.drizzle import drizzle_image
from hapctl.processing.imaging.flux_scale import flux_scale
from hapctl.processing.imaging.grid import north_up_grid
from hapctl.processing.imaging.prepared import PreparedChip
from support.data import data_file
from support.wfpc2_files import science_and_flags, update_wcs

BRIGHTNESS, SECONDS, SCALE = 50.0, 100.0, 0.1
"""Electrons per second and square arcsec (of chip 3), exposure time, output scale."""


@pytest.mark.parametrize("flags_name", ["SCI", "SDQ"])
def test_flags_are_found_beside_the_file(tmp_path: Path, flags_name: str) -> None:
    science, flags = (data_file(f"wfpc2_omegacen/u40x010hm_{part}.fits") for part in ("c0f", "c1f"))
    path = science_and_flags(tmp_path, ("SCI", flags_name))
    with ExposureImage(path) as exposure, fits.open(science) as truth, fits.open(flags) as quality:
        assert [chip.chip for chip in exposure.chips] == [1, 2, 3, 4]
        for chip, image, dq in zip(exposure.chips, truth[0].data, quality[0].data, strict=True):
            assert chip.science(10, 20) == pytest.approx(image[10:20] * WFPC2_GAIN[chip.chip][7], rel=1e-6)
            assert np.array_equal(chip.quality(), dq.astype(np.uint16))
            assert chip.read_noise == WFPC2_READ_NOISE[chip.chip][7]
            assert chip.exposure_time == SECONDS
    (tmp_path / "u40x010hm_c1m.fits").unlink()
    with ExposureImage(path) as alone:
        assert not alone.chips[0].quality().any()


def test_old_cubes_are_read_like_extensions(tmp_path: Path) -> None:
    science, flags = (data_file(f"wfpc2_omegacen/u40x010hm_{part}.fits") for part in ("c0f", "c1f"))
    with ExposureImage(science) as cube, fits.open(science) as truth, fits.open(flags) as quality:
        assert [chip.extver for chip in cube.chips] == [1, 2, 3, 4]
        for chip, image, dq in zip(cube.chips, truth[0].data, quality[0].data, strict=True):
            assert chip.science(790) == pytest.approx(image[790:] * WFPC2_GAIN[chip.chip][7], rel=1e-6)
            assert np.array_equal(chip.quality(3, 5), dq[3:5].astype(np.uint16))
            assert chip.header["PHOTFLAM"] == pytest.approx(3.48e-18, rel=0.05)
            assert (chip.error(), chip.shape) == (None, (800, 800))
    packed = tmp_path / "u40x010hm_c0f.fits.gz"
    packed.write_bytes(gzip.compress(science.read_bytes(), 1))
    with ExposureImage(packed) as cube, ExposureImage(science) as plain:
        assert np.array_equal(cube.chips[2].science(5, 9), plain.chips[2].science(5, 9))


def test_an_even_sky_is_even_over_four_chips_of_two_scales(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Counts of one surface brightness: by the plate scale, gain and sensitivity of each chip."""
    path = science_and_flags(tmp_path)
    update_wcs(path, monkeypatch)
    with fits.open(path, mode="update") as hdus:
        reference = hdus["SCI", 3].header["PHOTFLAM"] / WFPC2_GAIN[3][7]
        for number in (1, 2, 3, 4):
            header, gain = hdus["SCI", number].header, WFPC2_GAIN[number][7]
            per_pixel = BRIGHTNESS * SECONDS * header["IDCSCALE"] ** 2
            hdus["SCI", number].data[:] = per_pixel * reference / (header["PHOTFLAM"] / gain) / gain
    solution = read_solutions(path)[0].solution
    with ExposureImage(path) as exposure:
        scale = flux_scale(exposure.header, [chip.header for chip in exposure.chips])
        chips = [
            PreparedChip(pixels, wcs, context_bit=number, flux_factor=factor)
            for number, (pixels, wcs, factor) in enumerate(
                zip(exposure.chips, solution.chips, scale.factors, strict=True)
            )
        ]
        grid = north_up_grid([chip.wcs for chip in chips], SCALE)
        image = drizzle_image([chip.drizzle_input(None) for chip in chips], grid)
    assert scale.equalised == "here"
    assert [chip.scale_ratio(grid) for chip in chips] == pytest.approx([2.196, 1.004, 1.004, 1.004], abs=2e-3)
    seen = image.wht > 0
    covered = [((image.ctx[0] >> bit) & 1).sum() for bit in range(4)]
    assert covered[0] == pytest.approx(0.21 * covered[2], rel=0.05)
    assert image.sci[seen] == pytest.approx(BRIGHTNESS * SCALE**2, rel=2e-5)
