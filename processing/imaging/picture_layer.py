"""One product in a picture: what its headers say of it, and its pixels binned for the picture.

Products are read by bands of rows, plain or tile-compressed, so memory does not depend on their size.
"""

from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from astropy.io import fits
from hapctl.ext.writing import bin_rows
from hapctl.processing.imaging.grid import OutputGrid
from hapctl.processing.imaging.image_planes import FileBytes, ImagePlane, image_plane
from hapctl.processing.imaging.pivot_wavelengths import pivot_nm
from numpy.typing import NDArray

_PIXELS_AT_ONCE = 1 << 19


@dataclass(frozen=True, kw_only=True)
class PictureLayer:
    """What the headers of a product say that a picture needs.

    Attributes
    ----------
    path : Path
    name : str
        File name it has or will have.
    grid : OutputGrid
    instrument, detector, filter, target : str
    wavelength : float
        Pivot wavelength, nm; 0: not known (a detection image).
    energy : float or None
        nu f_nu (= lambda f_lambda) in erg/s/cm2/arcsec**2 of one unit of the image, at the pivot wavelength;
        None: without photometry.
    proposals : tuple of str
    started : str
        DATE-BEG, UTC.
    exposure_time : float
        Seconds.
    mjd : tuple of float
        First start and last end; empty where not known.
    run : int or None
        Run that made it.
    software : str
    """

    path: Path
    name: str
    grid: OutputGrid
    instrument: str
    detector: str
    filter: str
    target: str
    wavelength: float
    energy: float | None
    proposals: tuple[str, ...]
    started: str
    exposure_time: float
    mjd: tuple[float, ...]
    run: int | None
    software: str


def read_layer(path: Path) -> PictureLayer:
    """Read what a picture needs to know of a product; SCI may be the primary image or an extension."""
    with fits.open(path, memmap=False, lazy_load_hdus=True) as hdus:
        primary, image = hdus[0].header, science_image(hdus).header
        detector, photplam = str(primary.get("DETECTOR", "")), image.get("PHOTPLAM")
        grid = OutputGrid(
            crval=(image["CRVAL1"], image["CRVAL2"]),
            crpix=(image["CRPIX1"], image["CRPIX2"]),
            cd=(image["CD1_1"], image["CD1_2"], image["CD2_1"], image["CD2_2"]),
            shape=(image["NAXIS2"], image["NAXIS1"]),
        )
        return PictureLayer(
            path=path,
            name=str(primary.get("FILENAME", path.name)),
            grid=grid,
            instrument=str(primary.get("INSTRUME", "")),
            detector=detector,
            filter=str(primary.get("FILTER", "")),
            target=str(primary.get("TARGNAME", "")),
            wavelength=pivot_nm(str(primary.get("FILTER", "")), detector, photplam),
            energy=_energy(image, grid),
            proposals=tuple(part for part in str(primary.get("PROPOSID", "")).replace(",", " ").split()),
            started=str(primary.get("DATE-BEG", "")),
            exposure_time=float(primary.get("EXPTIME", 0.0)),
            mjd=tuple(primary[name] for name in ("EXPSTART", "EXPEND") if name in primary),
            run=primary.get("HAPRUN"),
            software=str(primary.get("PROD_VER", "")),
        )


def science_image(hdus: fits.HDUList) -> fits.hdu.base._BaseHDU:
    """Return the extension of a product with its pixels: SCI, or the primary image of a file of one image."""
    return hdus["SCI"] if "SCI" in hdus else hdus[0]


def _energy(image: fits.Header, grid: OutputGrid) -> float | None:
    photflam, photplam = image.get("PHOTFLAM") or 0.0, image.get("PHOTPLAM") or 0.0
    if not (photflam > 0 and photplam > 0):
        return None
    return float(photflam * photplam / grid.scale_arcsec**2)


def binned(
    path: Path,
    bins: tuple[NDArray[np.int64], NDArray[np.int64]],
    shape: tuple[int, int],
) -> NDArray[np.float32]:
    """Return SCI of a product as it looks on the grid of a picture.

    Parameters
    ----------
    path : path
    bins : tuple of (ndarray, ndarray)
        The picture's row of each row and column of each column (`picture_grid.PictureGrid.bins`), ascending.
    shape : tuple of int
        (ny, nx) of the picture.

    Returns
    -------
    ndarray, shape (ny, nx), float32
        Mean of the pixels with data in each bin; NaN where there is none.
    """
    rows, columns = bins
    total, count = np.zeros(shape), np.zeros(shape)
    room = np.empty((2, len(columns)))
    at_once = max(1, _PIXELS_AT_ONCE // len(columns))
    with closing(FileBytes(path)) as source:
        with source.open_fits() as hdus:
            image = science_image(hdus)
            plane = image_plane(source, image, image.name)
        for first in range(0, len(rows), at_once):
            last = min(first + at_once, len(rows))
            bin_rows(_stored(plane, first, last), rows[first:last], columns, total, count, room)
    with np.errstate(invalid="ignore", divide="ignore"):
        return (total / count).astype(np.float32)


def _stored(plane: ImagePlane, first: int, last: int) -> NDArray[np.uint32]:
    """Rows as bytes of big-endian float32, which most lie in their files as."""
    if plane.plain(">f4"):
        return plane.stored(first, last, 0, plane.shape[1]).view(np.uint32)
    return plane.read(first, last, np.float32).astype(">f4").view(np.uint32)
