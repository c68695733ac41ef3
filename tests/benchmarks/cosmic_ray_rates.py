"""How well two programs find the cosmic rays of the same simulated exposures.

All shares are of pixels that both compare with a plane (NaN in ours, sky in AstroDrizzle's, where there is
none), two pixels off places that have none, saturation and bad columns. The clean image is the mean of both
blotted planes; sigma^2 = clean image + sky + read noise^2.

- caught: of the pixels that a simulated ray touched and that lie 5 sigma above the clean image;
- false alarms: of the pixels neither hot nor warm nor within 2 pixels of a ray;
- on stars: of those where the clean image is above 30 sigma;
- hot pixels: of the simulator's hot and warm pixels, more than 2 pixels from a ray, that lie 5 sigma off
  the clean image.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from astropy.io import fits
from numpy.typing import NDArray
from scipy import ndimage

HOT, BAD, SATURATED = 16 | 64, 4, 256
NAMES = ("caught", "false alarms", "on stars", "hot pixels")
Mask = NDArray[np.bool_]


@dataclass
class Tally:
    """Pixels flagged of those in question, for each of `NAMES`."""

    flagged: NDArray[np.int64]
    total: NDArray[np.int64]

    @classmethod
    def empty(cls) -> "Tally":
        """Nothing seen yet."""
        return cls(np.zeros(len(NAMES), dtype=np.int64), np.zeros(len(NAMES), dtype=np.int64))

    def add(self, mask: Mask, questions: list[Mask]) -> None:
        """Count a chip."""
        self.flagged += [int((mask & one).sum()) for one in questions]
        self.total += [int(one.sum()) for one in questions]

    def share(self, name: str) -> str:
        """For people: a share, and its numbers."""
        place = NAMES.index(name)
        flagged, total = int(self.flagged[place]), int(self.total[place])
        return f"{flagged / max(total, 1):.4g} ({flagged} of {total})"


def questions(
    hdus: fits.HDUList, extver: int, rays: Mask, planes: tuple[np.ndarray, np.ndarray], sky: float
) -> list[Mask]:
    """The pixels of a chip that count for each of `NAMES`; planes without sky, NaN where unknown."""
    quality, science = hdus["DQ", extver].data, hdus["SCI", extver].data
    read_noise = np.mean([hdus[0].header[f"READNSE{amplifier}"] for amplifier in "ABCD"])
    clean = 0.5 * (planes[0] + planes[1])
    left_out = ~np.isfinite(clean) | ((quality & (SATURATED | BAD)) != 0)
    usable = ~ndimage.binary_dilation(left_out, np.ones((5, 5)))
    clean = np.nan_to_num(clean)
    sigma = np.sqrt(np.maximum(clean, 0.0) + sky + read_noise**2)
    excess = science - sky - clean
    hot = (quality & HOT) != 0
    untouched = usable & ~ndimage.binary_dilation(rays, np.ones((5, 5)))
    plain = untouched & ~hot
    return [
        usable & rays & ~hot & (excess > 5.0 * sigma),
        plain,
        plain & (clean > 30.0 * sigma),
        untouched & hot & (np.abs(excess) > 5.0 * sigma),
    ]


def compare_rates(files: list[Path], kept: Path, theirs: Path) -> tuple[Tally, Tally]:
    """Tally the masks of ``hapctl drizzle --keep`` and of AstroDrizzle against ``ROOTNAME_rays.fits``.

    Parameters
    ----------
    files : list of Path
        Simulated exposures with their ``_rays`` files beside them.
    kept, theirs : Path
        The folder of ``--keep``, and that in which AstroDrizzle worked.

    Returns
    -------
    tuple of Tally
        Ours and theirs.
    """
    ours, peer = Tally.empty(), Tally.empty()
    for path in files:
        root, stem = path.name.split("_")[0], path.stem
        with fits.open(path) as hdus, fits.open(path.with_name(f"{root}_rays.fits")) as truth:
            for extver in (1, 2):
                sky = float(fits.getval(theirs / path.name, "MDRIZSKY", ("SCI", extver)))
                plane = fits.getdata(theirs / f"{root}_sci{extver}_blt.fits").astype(np.float32)
                plane = np.where(plane == np.float32(sky), np.nan, plane - np.float32(sky))
                planes = fits.getdata(kept / f"{stem}_sci{extver}_blt.fits").astype(np.float32), plane
                asked = questions(hdus, extver, truth["RAYS", extver].data > 0, planes, sky)
                ours.add(fits.getdata(kept / f"{stem}_crmask.fits", extver) > 0, asked)
                peer.add(fits.getdata(theirs / f"{root}_sci{extver}_crmask.fits") == 0, asked)
    return ours, peer
