"""What a simulated visit really is, and how far a WCS solution is from it.

The truth is evaluated by astropy, with lookup tables read as HST means them; hapctl's own mapping is
used only for the solution that is judged.
"""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from hapctl.processing.astrometry.solution import WcsSolution
from hapctl.processing.errors import UnusableFileError, UsageProblemError
from hapctl.processing.simulation.distortion import astropy_wcs
from hapctl.processing.simulation.pointing import LinearWcs, Pointing
from numpy.typing import NDArray

if TYPE_CHECKING:
    from astropy.wcs import WCS

TRUTH_FILE = "truth.json"
GRID_POINTS = 15

PixelToSky = Callable[
    [int, NDArray[np.float64], NDArray[np.float64]], tuple[NDArray[np.float64], NDArray[np.float64]]
]


@dataclass(frozen=True)
class TrueChip:
    """The true linear WCS of one chip; distortion and lookup tables are those of the file."""

    extver: int
    chip: int
    shape: tuple[int, int]
    crval: tuple[float, float]
    cd: tuple[float, float, float, float]

    @classmethod
    def of(cls, extver: int, chip: int, shape: tuple[int, int], linear: LinearWcs) -> "TrueChip":
        """The true WCS of a chip from its CRVAL and CD."""
        (cd11, cd12), (cd21, cd22) = linear.cd.tolist()
        return cls(extver, chip, shape, linear.crval, (cd11, cd12, cd21, cd22))

    @property
    def linear(self) -> LinearWcs:
        """CRVAL and CD."""
        return LinearWcs(self.crval, np.array(self.cd).reshape(2, 2))


@dataclass(frozen=True)
class TrueExposure:
    """The truth of one exposure.

    Attributes
    ----------
    rootname, file, filter : str
        Name, file beside the truth file, filter.
    epoch_mjd : float
        Middle of the exposure, MJD (UTC).
    header_pointing, true_pointing : Pointing
        What the header claims, and where the telescope looked.
    chips : tuple of TrueChip
        In order of extver.
    """

    rootname: str
    file: str
    filter: str
    epoch_mjd: float
    header_pointing: Pointing
    true_pointing: Pointing
    chips: tuple[TrueChip, ...]


@dataclass(frozen=True)
class SkyCircle:
    """A circle on the sky, degrees."""

    ra: float
    dec: float
    radius: float

    def __str__(self) -> str:
        return f"circle {self.ra:.6f} {self.dec:.6f} {self.radius:.6f}"


@dataclass(frozen=True)
class Truth:
    """The truth of a visit.

    Attributes
    ----------
    folder : Path
        Where the files are.
    visit : str
        ipppss.
    seed : int
        Of the simulation.
    covers : SkyCircle
        What the Gaia-like extract covers.
    exposures : tuple of TrueExposure
        In order of time.
    """

    folder: Path
    visit: str
    seed: int
    covers: SkyCircle
    exposures: tuple[TrueExposure, ...]

    def exposure(self, rootname: str) -> TrueExposure:
        """The truth of one exposure.

        Raises
        ------
        UsageProblemError
            If the visit has no exposure of that name.
        """
        for exposure in self.exposures:
            if exposure.rootname == rootname:
                return exposure
        names = ", ".join(e.rootname for e in self.exposures)
        raise UsageProblemError(f"{rootname} is not of the simulated visit {self.visit}", f"it has {names}")

    def true_wcs(self, rootname: str, extver: int) -> "WCS":
        """The true WCS of a chip: the file's distortion with the true CRVAL and CD."""
        from astropy.io import fits

        exposure = self.exposure(rootname)
        chip = next(c for c in exposure.chips if c.extver == extver)
        with fits.open(self.folder / exposure.file) as hdus:
            return astropy_wcs(hdus["SCI", extver].header, hdus, chip.linear)


@dataclass(frozen=True)
class AlignmentError:
    """How far a solution is from the truth, over a grid on all its chips.

    Attributes
    ----------
    rootname, name : str
        Exposure and WCSNAME.
    rms_mas : float
        Root of the mean squared distance on the sky.
    max_mas : float
        Largest distance.
    mean_east_mas, mean_north_mas : float
        Mean offset, solution minus truth.
    """

    rootname: str
    name: str
    rms_mas: float
    max_mas: float
    mean_east_mas: float
    mean_north_mas: float


def alignment_error(truth: Truth, solution: WcsSolution) -> AlignmentError:
    """Compare a solution, evaluated by hapctl's mapping, with the truth, evaluated by astropy.

    Parameters
    ----------
    truth : Truth
        Of the visit the solution's exposure belongs to.
    solution : WcsSolution
        Any WCS of one of its exposures.

    Raises
    ------
    UsageProblemError
        If the exposure is not of this visit.
    """
    from hapctl.processing.astrometry.mapping import pixel_to_sky

    chips = {chip.extver: chip for chip in solution.chips}

    def mapped(
        extver: int, x: NDArray[np.float64], y: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        return pixel_to_sky(chips[extver], x, y)

    return mapping_error(truth, solution.rootname, mapped, solution.name)


def mapping_error(truth: Truth, rootname: str, pixel_to_sky: PixelToSky, name: str = "") -> AlignmentError:
    """Compare any pixel-to-sky function with the truth.

    Parameters
    ----------
    truth : Truth
        Of the visit.
    rootname : str
        Which exposure.
    pixel_to_sky : callable
        ``(extver, x, y) -> (ra, dec)``, 0-based pixels, degrees.
    name : str
        What to call it in the result.
    """
    offsets = []
    for chip in truth.exposure(rootname).chips:
        x, y = _grid(chip.shape)
        true_ra, true_dec = truth.true_wcs(rootname, chip.extver).all_pix2world(x, y, 0)
        ra, dec = pixel_to_sky(chip.extver, x, y)
        east = ((ra - true_ra + 180.0) % 360.0 - 180.0) * np.cos(np.radians(true_dec))
        offsets.append(np.array([east, dec - true_dec]) * 3.6e6)
    offset = np.concatenate(offsets, axis=1)
    distance = np.hypot(*offset)
    mean_east, mean_north = offset.mean(axis=1)
    rms = float(np.sqrt(np.mean(distance**2)))
    return AlignmentError(rootname, name, rms, float(distance.max()), float(mean_east), float(mean_north))


def _grid(shape: tuple[int, int]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    y, x = np.meshgrid(*(np.linspace(0, size - 1, GRID_POINTS) for size in shape), indexing="ij")
    return x.ravel(), y.ravel()


def write_truth(truth: Truth) -> Path:
    """Write the truth beside the files; floats keep all their digits."""
    path = truth.folder / TRUTH_FILE
    document = {key: value for key, value in asdict(truth).items() if key != "folder"}
    path.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    return path


def read_truth(path: str | Path) -> Truth:
    """Read a truth file, or that of a folder.

    Raises
    ------
    UnusableFileError
        If it is absent or not a truth file.
    """
    path = Path(path)
    path = path / TRUTH_FILE if path.is_dir() else path
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        exposures = tuple(_exposure(entry) for entry in document["exposures"])
        covers = SkyCircle(**document["covers"])
        return Truth(path.parent, document["visit"], document["seed"], covers, exposures)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UnusableFileError(
            f"no truth in {path}: {error}", "give the folder that hapctl simulate wrote"
        ) from error


def _exposure(entry: dict[str, Any]) -> TrueExposure:
    chips = tuple(
        TrueChip(c["extver"], c["chip"], _pair(c["shape"]), _pair(c["crval"]), (*map(float, c["cd"]),))  # type: ignore[arg-type]
        for c in entry["chips"]
    )
    pointings = (Pointing(**entry["header_pointing"]), Pointing(**entry["true_pointing"]))
    return TrueExposure(
        entry["rootname"], entry["file"], entry["filter"], entry["epoch_mjd"], *pointings, chips
    )


def _pair(values: list[Any]) -> tuple[Any, Any]:
    first, second = values
    return first, second
