"""What the header of a product says: the product itself and the chips it was made of.

Facts of the catalog (visit, run, policy, checksums) are optional: a drizzle of files without a catalog has
none, and the cards for them are left out.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from hapctl.processing.imaging.grid import OutputGrid
from hapctl.processing.imaging.parameters import FinalParameters

Kind = Literal["exposure", "filter", "total", "grism", "layer", "mosaic", "drizzle"]
"""``mosaic``: of a chosen field; ``drizzle``: of any files, no product of HAP."""
Layer = Literal["SCI", "WHT", "CTX", "VAR", "ERR"]
Value = str | int | float | bool

PHOTOMETRY_KEYWORDS = ("PHOTMODE", "PHOTFLAM", "PHOTZPT", "PHOTPLAM", "PHOTBW")


@dataclass(frozen=True, kw_only=True)
class InputChip:
    """One row of the table of inputs: a chip that was drizzled.

    ``context_bit`` counts from 0; plane ``context_bit // 32`` of CTX, bit ``context_bit % 32``. ``sky`` is in
    electrons per pixel of the chip, as it was subtracted; ``idcscale`` in arcseconds (0: not said);
    ``flux_factor`` is what electrons were multiplied by. ``mask_sha256`` is empty and ``mask_run`` 0 without
    a recorded mask. ``header`` holds keywords of the chip, each a column (`input_keywords`); ``keywords`` are
    those of the solution, ``photometry`` those of the chip, and no columns.
    """

    rootname: str
    file_name: str
    extver: int
    chip: int
    context_bit: int
    exposure_time: float
    mjd_start: float
    mjd_end: float
    sky: float = 0.0
    filter: str = ""
    wcsname: str = ""
    idcscale: float = 0.0
    flux_factor: float = 1.0
    product_name: str = ""
    file_sha256: str = ""
    transformation_sha256: str = ""
    frame: str = ""
    solution_run: int = 0
    mask_sha256: str = ""
    mask_run: int = 0
    header: Mapping[str, Value] = field(default_factory=dict)
    keywords: Mapping[str, Value] = field(default_factory=dict)
    photometry: Mapping[str, Value] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class ProductDescription:
    """What the header of a product says, but for the statistics of its pixels.

    Attributes
    ----------
    name : str
        File name.
    kind : {"exposure", "filter", "total", "layer", "mosaic", "drizzle"}
    instrument, detector, filter : str
        As in HAP headers: upper case, combined filters joined by ``;``, ``detection`` for a total.
    grid : OutputGrid
    inputs : tuple of InputChip
        In order of ``context_bit``.
    final : FinalParameters
        How it was drizzled; ``context``, ``variance`` and ``error`` say which images it has.
    noise_correlation : float or None
        R of the whole product (`variance.product_noise_correlation`); None: not said.
    proposals : tuple of int
    target : str
        TARGNAME, or ``MULTIPLE``.
    visit : str
        ipppss; empty for a layer.
    sky_cells : tuple of str
        Short names (``p0047x20y18``) of the tiles it touches; of a layer, its own.
    full_pixels : int
        Pixels that NPIXFRAC is the fraction of (of a layer: those of the whole tile); 0: those of the grid.
    s_region : str
    wcs_policy : str
    run, policy : int
        Numbers of the run and of the policy of products; 0 without a catalog.
    parameters_sha256, inputs_sha256, software : str
    left_out : tuple of (str, str)
        Rootname and code of each exposure that a rule left out.
    """

    name: str
    kind: Kind
    instrument: str
    detector: str
    filter: str
    grid: OutputGrid
    inputs: tuple[InputChip, ...]
    final: FinalParameters = field(default_factory=lambda: FinalParameters(variance=False))
    noise_correlation: float | None = None
    proposals: tuple[int, ...] = ()
    target: str = ""
    visit: str = ""
    sky_cells: tuple[str, ...] = ()
    full_pixels: int = 0
    s_region: str = ""
    wcs_policy: str = ""
    run: int = 0
    policy: int = 0
    parameters_sha256: str = ""
    inputs_sha256: str = ""
    software: str = ""
    left_out: tuple[tuple[str, str], ...] = ()

    @property
    def layers(self) -> tuple[Layer, ...]:
        """The images of the product, in their order."""
        chosen: dict[Layer, bool] = {
            "SCI": True,
            "WHT": True,
            "CTX": self.final.context,
            "VAR": self.final.variance,
            "ERR": self.final.error,
        }
        return tuple(name for name, wanted in chosen.items() if wanted)

    @property
    def exposures(self) -> dict[str, InputChip]:
        """A chip of each exposure, by rootname."""
        return {chip.rootname: chip for chip in self.inputs}

    @property
    def exposure_times(self) -> dict[str, float]:
        """Seconds of each exposure, by rootname: imsets of different start (STIS) add up, chips don't."""
        imsets = {(chip.rootname, chip.mjd_start): chip.exposure_time for chip in self.inputs}
        times: dict[str, float] = {}
        for (rootname, _), seconds in imsets.items():
            times[rootname] = times.get(rootname, 0.0) + seconds
        return times

    @property
    def exposure_time(self) -> float:
        """Seconds of all exposures together: what rates are multiplied by to give counts."""
        return float(sum(self.exposure_times.values()))


def context_planes(chips: int) -> int:
    """Return the planes of CTX that many chips need (32 bits each)."""
    return max(1, -(-chips // 32))
