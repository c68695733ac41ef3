"""Every parameter of `hapctl tweak`: TweakReg's, by TweakReg's names, and what a joint fit needs besides.

Where a default differs from TweakReg's, its help says so. Parameters of TweakReg that have no place here are
told with the reason when a configuration is imported (`tweak_import`).
"""

from dataclasses import dataclass, field
from typing import Literal

from hapctl.processing.astrometry.solution import LookupOrigin
from hapctl.processing.parameter_fields import Checked, option
from hapctl.processing.parameter_values import ParameterSet

Geometry = Literal["hst", "shift", "rshift", "rscale", "general"]
FluxUnits = Literal["counts", "mag"]
PositionUnits = Literal["pixels", "degrees"]
SearchUnits = Literal["arcseconds", "pixels"]
ResidualPlots = Literal["both", "vector", "residuals", "none"]
MatchFormat = Literal["columns", "ecsv", "both", "none"]

_ABOUT = (
    "Names are those of TweakReg. What is commented out has no value. A line may be left out: then the "
    "default holds."
)
_COLUMN = "name, or number from 1"


@dataclass(frozen=True)
class ImageParameters(Checked):
    """The images and what of them is left out."""

    refimage: str = option(
        "",
        "Image whose sources are the reference, in the frame of its WCS; it is not moved. A chosen extension "
        "of a drizzled image may be named: file.fits[SCI,1].",
    )
    exclusions: str = option(
        "",
        "File with a line for each image: its name, then for each chip a DS9 region file, a mask (FITS), or "
        "None. What lies outside the regions, or in those marked '-', is left out; if all are, only that.",
    )


@dataclass(frozen=True)
class FindParameters(Checked):
    """How sources are found (imagefindpars)."""

    threshold: float = option(
        7.0, "Least signal-to-noise ratio of the fitted flux (TweakReg's 4 is of a peak).", above=0.0
    )
    conv_width: float | None = option(
        None,
        "First guess of the width (FWHM) of a star; the detector's own by default, then measured.",
        above=0.5,
        unit="pixels",
    )
    dqbits: str = option(
        "",
        "DQ flags taken as good: a sum, 64,32 or ~4096, as in TweakReg; empty: as is right for the detector.",
    )
    fluxmin: float | None = option(None, "Sources with less flux are left out.", unit="electrons")
    fluxmax: float | None = option(None, "Sources with more flux are left out.", unit="electrons")
    use_sharp_round: bool = option(
        False, "Use the four limits below; flags of the fit judge in any case. A star has sharpness 1."
    )
    sharplo: float = option(0.5, "Least sharpness (defined otherwise than in TweakReg).")
    sharphi: float = option(1.5, "Greatest sharpness.")
    roundlo: float = option(-1.0, "Least roundness; a round source has 0.")
    roundhi: float = option(1.0, "Greatest roundness.")


@dataclass(frozen=True)
class SourceParameters(Checked):
    """Lists of sources in place of the finder, and how many take part."""

    catfile: str = option(
        "", "File with a line for each image: its name, then a list of sources for each chip, or None."
    )
    xcol: str = option("", f"Column of x or right ascension ({_COLUMN}); by its name, else the first.")
    ycol: str = option("", f"Column of y or declination ({_COLUMN}); by its name, else the second.")
    fluxcol: str = option("", f"Column of fluxes or magnitudes ({_COLUMN}).")
    fluxunits: FluxUnits = option("counts", "What fluxcol holds.", choices=("counts", "mag"))
    xyunits: PositionUnits = option("pixels", "What xcol and ycol hold.", choices=("pixels", "degrees"))
    minflux: float | None = option(None, "Sources below are left out (fluxunits).")
    maxflux: float | None = option(None, "Sources above are left out (fluxunits).")
    nbright: int | None = option(None, "The brightest so many of an image take part; 2000 by default.", low=3)


@dataclass(frozen=True)
class ReferenceParameters(Checked):
    """The reference catalog."""

    refcat: str = option(
        "",
        "List of sources (plain columns, ECSV, CSV, FITS table, DS9 regions), or the name of a catalog that "
        "is asked for: GAIADR3, GAIADR2 ... Empty, without refimage: images are brought onto each other.",
    )
    refxcol: str = option("", f"Column of right ascension or x ({_COLUMN}); by its name, else the first.")
    refycol: str = option("", f"Column of declination or y ({_COLUMN}); by its name, else the second.")
    refxyunits: PositionUnits = option(
        "degrees", "What they hold; pixels are those of refimage.", choices=("degrees", "pixels")
    )
    rfluxcol: str = option("", f"Column of fluxes or magnitudes ({_COLUMN}).")
    rfluxunits: FluxUnits = option("mag", "What rfluxcol holds.", choices=("counts", "mag"))
    rminflux: float | None = option(None, "Sources below are left out (rfluxunits).")
    rmaxflux: float | None = option(None, "Sources above are left out (rfluxunits).")
    refnbright: int | None = option(None, "The brightest so many take part.", low=3)
    referror: float = option(
        5.0,
        "Standard error of a coordinate where the list has none (not in TweakReg).",
        above=0.0,
        unit="mas",
    )
    refepoch: float | None = option(
        None,
        "Julian year of the positions where the list has none; that of the images by default.",
        low=1900.0,
        high=2100.0,
        unit="years",
    )


@dataclass(frozen=True)
class MatchParameters(Checked):
    """Which source is which."""

    minobj: int | None = option(
        None,
        "Least number of matches; by default the rule of acceptance decides (4, or 3 confirmed ones; "
        "TweakReg: 15).",
        low=3,
    )
    searchrad: float = option(5.0, "How far the offset is searched (TweakReg: 1).", above=0.0)
    searchunits: SearchUnits = option("arcseconds", "Of searchrad.", choices=("arcseconds", "pixels"))
    use2dhist: bool = option(
        True, "Search the offset; else positions are taken as right within the tolerance."
    )
    separation: float = option(
        0.5, "Of sources nearer to each other only the brightest takes part.", low=0.0, unit="pixels"
    )
    tolerance: float | None = option(
        None, "Matches agree so well in the search; 0.1 arcsec by default.", above=0.0, unit="pixels"
    )
    xoffset: float = option(0.0, "First guess of the offset, in the frame of the shift file.", unit="pixels")
    yoffset: float = option(0.0, "First guess of the offset, in the frame of the shift file.", unit="pixels")


@dataclass(frozen=True)
class FitParameters(Checked):
    """What may be wrong with a WCS."""

    fitgeometry: Geometry = option(
        "hst",
        "hst: shift, roll and scale as far as HST errs in them, common to exposures of a guide-star set; "
        "the others are free for each image: shift; rshift: and roll; rscale (TweakReg's): and scale; "
        "general: and skew.",
        choices=("hst", "shift", "rshift", "rscale", "general"),
    )


@dataclass(frozen=True)
class HeaderParameters(Checked):
    """What happens to the images."""

    updatehdr: bool = option(
        False, "Write the new WCS: into copies in --output-dir, or into the files themselves with --in-place."
    )
    wcsname: str = option("TWEAK", "WCSNAME of the new WCS.")
    reusename: bool = option(
        False, "A WCS of that name may be there already and is replaced; else it is refused."
    )


@dataclass(frozen=True)
class HeaderletParameters(Checked):
    """The new WCS as headerlets."""

    headerlet: bool = option(False, "Write a headerlet file for each image.")
    attach: bool = option(True, "Attach it to the image as well, where the header is updated.")
    hdrfile: str = option("", "Its file name, for a single image; <root>_<WCSNAME>_hlet.fits by default.")
    clobber: bool = option(False, "Replace an older file.")
    hdrname: str = option("", "HDRNAME; <file root>_<WCSNAME>-hlet.fits by default.")
    author: str = option("", "AUTHOR.")
    descrip: str = option("", "DESCRIP: a short description.")
    catalog: str = option("", "CATALOG; the reference catalog by default.")
    history: str = option("", "Text file; its lines become HISTORY.")


@dataclass(frozen=True)
class OutputParameters(Checked):
    """The files besides."""

    writecat: bool = option(True, "Write the sources of each chip and the reference sources (.coo).")
    matches: MatchFormat = option(
        "columns",
        "Match files: TweakReg's 18 columns (_catalog_fit.match), ECSV, both, or none (not in TweakReg).",
        choices=("columns", "ecsv", "both", "none"),
    )
    shiftfile: bool = option(True, "Write a shift file (TweakReg: off).")
    outshifts: str = option("shifts.txt", "Its name.")
    outwcs: str = option("shifts_wcs.fits", "The frame that its pixels are of.")
    residplot: ResidualPlots = option(
        "both", "Plots of residuals.", choices=("both", "vector", "residuals", "none")
    )
    see2dplot: bool = option(True, "Plot the histogram of offsets.")
    blink: bool = option(
        False, "Write blink.png: stars by the old and the new WCS of all images (not in TweakReg)."
    )
    ylimit: float | None = option(
        None, "Limit of the residuals' axes; by the residuals by default.", above=0.0, unit="pixels"
    )


@dataclass(frozen=True)
class TweakParameters:
    """All sections.

    Attributes
    ----------
    images, find, sources, reference, match, fit, header, headerlet, output
        A section each.
    lookup_origin : {"hst", "fits"}
        Where lookup tables begin.
    """

    images: ImageParameters = field(default_factory=ImageParameters)
    find: FindParameters = field(default_factory=FindParameters)
    sources: SourceParameters = field(default_factory=SourceParameters)
    reference: ReferenceParameters = field(default_factory=ReferenceParameters)
    match: MatchParameters = field(default_factory=MatchParameters)
    fit: FitParameters = field(default_factory=FitParameters)
    header: HeaderParameters = field(default_factory=HeaderParameters)
    headerlet: HeaderletParameters = field(default_factory=HeaderletParameters)
    output: OutputParameters = field(default_factory=OutputParameters)
    lookup_origin: LookupOrigin = option(
        "hst",
        "Where distortion lookup tables begin: hst, as HST's tables are made; fits, as astropy reads them.",
        choices=("hst", "fits"),
    )


TWEAK = ParameterSet("hapctl tweak", TweakParameters, "match.searchrad=2", _ABOUT, "section")
