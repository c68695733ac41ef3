"""Images read by rows and columns: files kept open and files opened for each read."""

import os
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from hapctl.processing.errors import UnusableFileError
from hapctl.processing.imaging import image_planes
from hapctl.processing.imaging.image_planes import FileBytes, image_plane


@pytest.fixture
def path(tmp_path: Path) -> Path:
    image = np.random.default_rng(2).normal(size=(30, 50)).astype(np.float32)
    fits.HDUList([fits.PrimaryHDU(), fits.ImageHDU(image, name="SCI")]).writeto(tmp_path / "image.fits")
    return tmp_path / "image.fits"


def open_descriptors() -> set[int]:
    def is_open(descriptor: int) -> bool:
        try:
            os.fstat(descriptor)
        except OSError:
            return False
        return True

    return set(filter(is_open, range(1024)))


@pytest.mark.parametrize("highest", [512, 0])
def test_files_are_closed_and_few_are_kept_open(
    path: Path, highest: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(image_planes, "_HIGHEST_DESCRIPTOR", highest)
    before = open_descriptors()
    image = fits.getdata(path, "SCI", memmap=False)
    source = FileBytes(path)
    with source.open_fits() as hdus:
        plane = image_plane(source, hdus["SCI"], "SCI")
    for columns in (slice(None), slice(7, 19), slice(3, None, 5), slice(60, 70)):
        assert np.array_equal(plane.read(11, 17, np.float32, columns), image[11:17, columns])
    assert len(open_descriptors() - before) == (1 if highest else 0)
    source.close()
    assert open_descriptors() == before
    assert np.array_equal(plane.read(0, 1, np.float32), image[:1])  # opened again
    source.close()
    assert open_descriptors() == before


def test_a_file_cut_short_is_told(path: Path) -> None:
    source = FileBytes(path)
    with source.open_fits() as hdus:
        plane = image_plane(source, hdus["SCI"], "SCI")
    os.truncate(path, plane.offset + 100)
    with pytest.raises(UnusableFileError, match="ends inside the pixels"):
        plane.read(0, 1, np.float32)
    source.close()
