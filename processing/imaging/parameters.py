"""Every parameter of the engine: a frozen dataclass a step, each field with help, choices and limits.

The command line, the TOML files, the form in the terminal, the imports of ``.cfg`` files and MDRIZTAB
tables, the parameters of a run: all are made from these fields alone. Names follow AstroDrizzle's where
those are good ones; defaults are AstroDrizzle's unless the help says otherwise.
"""

from dataclasses import dataclass, field
from typing import Literal

from hapctl.processing.astrometry.solution import LookupOrigin
from hapctl.processing.dq_flags import Bits
from hapctl.processing.parameter_fields import Checked, option
from hapctl.processing.parameter_values import ParameterSet

Kernel = Literal["square", "point", "turbo", "gaussian", "lanczos2", "lanczos3", "tophat"]
SkyMethod = Literal["localmin", "globalmin", "match", "globalmin+match"]
Agreement = Literal["any", "every"]
Statistic = Literal["mode", "median", "mean"]
CombineType = Literal["minmed", "iminmed", "median", "imedian", "mean", "imean", "sum", "isum"]
Interpolation = Literal["nearest", "linear", "poly3", "poly5", "sinc", "lanczos3"]
WeightType = Literal["EXP", "ERR", "IVM"]
WeightScale = Literal["exptime", "expsq", "number"]
Units = Literal["cps", "counts"]

KERNELS: tuple[Kernel, ...] = ("square", "point", "turbo", "gaussian", "lanczos2", "lanczos3", "tophat")
_ABOUT = (
    "What is commented out has no value. A line may be left out: then the default holds, which depends on "
    "the detector and the number of exposures."
)
_GOOD_FLAGS = "DQ flags taken as good: a sum, 64,32 or 64+32, ~4096 for all but these, none to ignore DQ"


@dataclass(frozen=True)
class StaticMaskParameters(Checked):
    """Step 1: pixels far below the mode of their chip."""

    enabled: bool = option(True, "Mask pixels that are low, in all exposures of a chip.")
    sigma: float = option(4.0, "How far below the mode.", above=0.0, unit="sigma")
    agreement: Agreement = option(
        "any",
        "any: low in one exposure is enough (so in AstroDrizzle); every: low in each of them.",
        choices=("any", "every"),
    )


@dataclass(frozen=True)
class SkyParameters(Checked):
    """Step 2: the sky of each chip."""

    enabled: bool = option(True, "Measure the sky and subtract it in memory; files stay as they are.")
    method: SkyMethod = option(
        "localmin",
        "localmin: faintest chip of each exposure; globalmin: faintest of all; match: differences on real "
        "overlaps, the lowest left in; globalmin+match: both.",
        choices=("localmin", "globalmin", "match", "globalmin+match"),
    )
    statistic: Statistic = option(
        "median", "Statistic of the clipped pixels.", choices=("mode", "median", "mean")
    )
    width: float = option(0.1, "Width of a histogram bin for the mode.", above=0.0, unit="sigma")
    lower: float | None = option(None, "Pixels below are left out.", unit="electrons")
    upper: float | None = option(None, "Pixels above are left out.", unit="electrons")
    clip: int = option(5, "Rounds of clipping.", low=0)
    lower_sigma: float = option(4.0, "Clipping limit below.", above=0.0, unit="sigma")
    upper_sigma: float = option(4.0, "Clipping limit above.", above=0.0, unit="sigma")
    bits: Bits = option(0, _GOOD_FLAGS)
    use_static_mask: bool = option(True, "Leave out pixels of the static mask.")
    user_keyword: str = option("", "Header keyword (SCI or primary) that holds the sky to subtract.")
    file: str = option("", "Two columns or more: file name, sky of each chip, in units of SCI.")


@dataclass(frozen=True)
class SeparateParameters(Checked):
    """Step 3: each exposure drizzled singly, for the comparison."""

    enabled: bool = option(True, "Drizzle each exposure singly.")
    kernel: Kernel = option("turbo", "Drizzle kernel.", choices=KERNELS)
    pixfrac: float = option(1.0, "Side of the shrunken input pixel.", low=0.01, high=1.0)
    bits: Bits = option(0, _GOOD_FLAGS)
    scale: float | None = option(
        None, "Side of an output pixel; the detector's own by default.", above=0.0, unit="arcsec"
    )
    rotation: float | None = option(
        None, "Position angle of the y axis; that of the first chip by default.", unit="degrees"
    )


@dataclass(frozen=True)
class MedianParameters(Checked):
    """Step 4: the single drizzles combined into a clean plane."""

    enabled: bool = option(True, "Combine the single drizzles.")
    type: CombineType = option(
        "minmed",
        "How: i... ignore the masks of weight; sum is of counts.",
        choices=("minmed", "iminmed", "median", "imedian", "mean", "imean", "sum", "isum"),
    )
    maskpt: float = option(
        0.3, "Least weight that counts, as a fraction of full coverage.", low=0.0, high=1.0
    )
    sigma: tuple[float, float] = option(
        (4.0, 3.0),
        "minmed: thresholds for the minimum in place of the median, and next to it.",
        above=0.0,
        unit="sigma",
    )
    nlow: int = option(0, "Lowest values left out.", low=0)
    nhigh: int = option(0, "Highest values left out (minmed of three or more: at least 1).", low=0)
    lower: float | None = option(None, "Values below are left out.", unit="electrons")
    upper: float | None = option(None, "Values above are left out.", unit="electrons")
    grow: int = option(1, "minmed: radius of what is next to a replaced pixel.", low=0, unit="pixels")


@dataclass(frozen=True)
class BlotParameters(Checked):
    """Step 5: the clean plane seen by each chip."""

    enabled: bool = option(True, "Bring the combined plane back to each chip.")
    interpolation: Interpolation = option(
        "poly5",
        "How the plane is interpolated.",
        choices=("nearest", "linear", "poly3", "poly5", "sinc", "lanczos3"),
    )
    sinc_scale: float = option(1.0, "Scale of offsets in the sinc kernel.", above=0.0, high=1.0)


@dataclass(frozen=True)
class CosmicRayParameters(Checked):
    """Step 6: each chip compared with the blotted plane."""

    enabled: bool = option(True, "Find cosmic rays.")
    snr: tuple[float, float] = option(
        (3.5, 3.0),
        "Thresholds of both passes; the second applies next to what fails the first.",
        above=0.0,
        unit="sigma",
    )
    scale: tuple[float, float] = option(
        (1.2, 0.7), "How much of the local derivative is allowed in both passes.", low=0.0
    )
    grow: int = option(
        0,
        "Radius by which hits are grown (AstroDrizzle's grow = 1 is none, and is imported as 0).",
        low=0,
        unit="pixels",
    )
    cte_grow: int = option(
        0, "Length of the tail masked behind a hit, away from the read-out.", low=0, unit="pixels"
    )
    reset_bits: int = option(
        4096,
        "DQ flags of cosmic rays found before, cleared in memory ahead of all steps; 0 keeps them.",
        low=0,
        high=65535,
    )


@dataclass(frozen=True)
class FinalParameters(Checked):
    """Step 7: all exposures onto the final grid."""

    enabled: bool = option(True, "Make the final image.")
    kernel: Kernel = option("square", "Drizzle kernel.", choices=KERNELS)
    pixfrac: float = option(1.0, "Side of the shrunken input pixel.", low=0.01, high=1.0)
    weight: WeightType = option(
        "EXP",
        "EXP: exposure time; ERR: ERR extension; IVM: inverse variance map.",
        choices=("EXP", "ERR", "IVM"),
    )
    weight_scale: WeightScale = option(
        "exptime",
        "EXP weights: exptime, its square (expsq), or 1 for each exposure (number).",
        choices=("exptime", "expsq", "number"),
    )
    bits: Bits = option(0, _GOOD_FLAGS)
    units: Units = option(
        "cps", "Per second, or counts of the total exposure time.", choices=("cps", "counts")
    )
    fill_value: float | None = option(None, "SCI where nothing contributes; NaN by default.")
    context: bool = option(True, "Write the context image.")
    variance: bool = option(True, "Write the variance image.")
    error: bool = option(False, "Write ERR, the square root of the variance, too.")
    scale: float | None = option(
        None, "Side of an output pixel; the detector's own by default.", above=0.0, unit="arcsec"
    )
    rotation: float | None = option(
        None, "Position angle of the y axis; 0, north up, by default.", unit="degrees"
    )
    reference: str = option("", "File, file[extension] or headerlet whose WCS and size are taken exactly.")
    ra: float | None = option(None, "Right ascension of the centre.", low=0.0, high=360.0, unit="degrees")
    dec: float | None = option(None, "Declination of the centre.", low=-90.0, high=90.0, unit="degrees")
    shape: tuple[int, int] | None = option(None, "Columns and rows.", low=1, unit="pixels")
    crpix: tuple[float, float] | None = option(
        None, "Pixel of the tangent point, 1-based; pixel-aligned by default.", unit="pixels"
    )


@dataclass(frozen=True)
class DrizzleParameters:
    """All steps of a drizzle.

    Attributes
    ----------
    static_mask, sky, separate, median, blot, cosmic_rays, final
        A step each, in order.
    lookup_origin : {"hst", "fits"}
        Where lookup tables begin.
    """

    static_mask: StaticMaskParameters = field(default_factory=StaticMaskParameters)
    sky: SkyParameters = field(default_factory=SkyParameters)
    separate: SeparateParameters = field(default_factory=SeparateParameters)
    median: MedianParameters = field(default_factory=MedianParameters)
    blot: BlotParameters = field(default_factory=BlotParameters)
    cosmic_rays: CosmicRayParameters = field(default_factory=CosmicRayParameters)
    final: FinalParameters = field(default_factory=FinalParameters)
    lookup_origin: LookupOrigin = option(
        "hst",
        "Where distortion lookup tables begin: hst, as HST's tables are made; fits, as astropy reads them.",
        choices=("hst", "fits"),
    )


DRIZZLE = ParameterSet("hapctl drizzle", DrizzleParameters, "final.pixfrac=0.8", _ABOUT)
STEPS = DRIZZLE.steps
