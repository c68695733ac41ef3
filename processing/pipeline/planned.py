"""What a mosaic command is going to make, before it makes it: products, inputs, addresses, sizes."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import chain
from pathlib import Path
from typing import Any, Literal

from hapctl.archive.products import EligibleExposure, LeftOutExposure, NewExclusion
from hapctl.archive.runs import parameters_sha256
from hapctl.processing.astrometry.solution import LookupOrigin
from hapctl.processing.imaging.compressed_file import Compression
from hapctl.processing.imaging.defaults import Level
from hapctl.processing.imaging.grid import OutputGrid
from hapctl.processing.imaging.memory_plan import BASE_BYTES, EXPOSURE_BYTES, MemoryPlan, plan_memory
from hapctl.processing.imaging.parameters import DrizzleParameters
from hapctl.processing.imaging.product_description import Kind, context_planes
from hapctl.processing.imaging.product_rules import ChosenRules, ProductCase, ProductRules
from hapctl.processing.imaging.product_seed import hap_rules
from hapctl.processing.pipeline.engine import ENGINE
from hapctl.processing.pipeline.wcs_policy import Choice, WcsPolicy

GridChoice = Literal["native", "nested"]
Split = Literal["epoch", "proposal"]


@dataclass(frozen=True)
class MosaicOptions:
    """What a user can choose.

    Attributes
    ----------
    home, output : Path
        Folder of all state (masks lie there); folder of the products.
    wcs_policy : {"strict", "absolute", "any"}
    origin : {"hst", "fits"}
        Where lookup tables begin.
    threads : int
    pixfrac : float or None
        Side of the shrunken input pixel; None: that of the detector and the number of exposures.
    memory_limit : int
        Bytes; work predicted to need more is refused.
    settings : tuple of str
        ``step.name=value``: parameters changed against the policy of products.
    grid : {"native", "nested"}
        Pixels of the size of each detector's, or 0.04 and 0.12 arcsec on common points of the sky.
    full_cell : bool
        A layer covers its whole tile, else the part with data.
    compress : {"rice", "gzip"} or None
        Tile compression of the images of a product.
    split_by : {"epoch", "proposal"} or None
        Layers and mosaics of a field are made apart for each.
    keep_replaced : bool
        Files of products that are replaced are kept beside the new ones.
    calibrated : bool
        Each exposure product has the calibrated file of its exposure, with the solution in force, beside it.
    rules : ProductRules
        Of the policy of products; a run takes those in force (`product_policies`).
    """

    home: Path
    output: Path
    wcs_policy: WcsPolicy = "strict"
    origin: LookupOrigin = "hst"
    threads: int = 1
    pixfrac: float | None = None
    memory_limit: int = 4_000_000_000
    settings: tuple[str, ...] = ()
    grid: GridChoice = "native"
    full_cell: bool = False
    compress: Compression | None = None
    split_by: Split | None = None
    keep_replaced: bool = False
    calibrated: bool = False
    rules: ProductRules = field(default_factory=hap_rules, repr=False)

    def request(self) -> dict[str, Any]:
        """Return what a product was asked for with, but for its folder: the product keeps it.

        The same request over the same rows of the catalog gives the same products (`with_request`).
        """
        return {
            "wcs_policy": self.wcs_policy,
            "lookup_origin": self.origin,
            "pixfrac": self.pixfrac,
            "settings": list(self.settings),
            "grid": self.grid,
            "full_cell": self.full_cell,
            "compress": self.compress,
            "split_by": self.split_by,
            "calibrated": self.calibrated,
        }

    def with_request(self, output: Path, request: Mapping[str, Any]) -> "MosaicOptions":
        """Return these options with the folder and the request of a product that was made before.

        What an older catalog did not record keeps its default.
        """
        names = {"lookup_origin": "origin"}
        asked = {names.get(name, name): value for name, value in request.items()}
        if "settings" in asked:
            asked["settings"] = tuple(asked["settings"])
        return replace(MosaicOptions(self.home, output), **asked, **self._of_the_machine())

    def _of_the_machine(self) -> dict[str, Any]:
        names = ("threads", "memory_limit", "keep_replaced", "rules")
        return {name: getattr(self, name) for name in names}

    def as_parameters(self) -> dict[str, Any]:
        """Return what bears on the pixels, for the run."""
        return {"output": str(self.output), "engine": ENGINE, **self.request()}


@dataclass(frozen=True)
class PlannedProduct:
    """A product to be made or found current.

    Attributes
    ----------
    kind : {"exposure", "filter", "total", "grism", "layer", "mosaic"}
        A ``grism`` product is not drizzled: it is a copy of its exposure.
    name : str
        File name.
    visit : str or None
    sky_cell_id : int or None
    sky_cells : tuple of str
        Short names of the tiles it touches.
    instrument, detector, filter : str
        As in the catalog.
    filter_text : str
        As in the header.
    grid : OutputGrid
        Of a grism product: size and scale of its first chip.
    full_pixels : int
        What NPIXFRAC refers to.
    members : tuple of EligibleExposure
        All exposures of a visit, which define its grids; empty for a layer.
    exposures : tuple of EligibleExposure
        The inputs, by rootname.
    exclusions : tuple of NewExclusion
    masked : bool
        Whether cosmic-ray masks are used.
    drizzle : DrizzleParameters
        Of its sky and its final image.
    parameters : mapping
        All that bears on its pixels but the inputs.
    label : str
        Which part of a split layer or mosaic it is; empty: all of it.
    region : mapping
        Of a mosaic of a field: the field and the HEALPix cells it touches, which the catalog keeps with the
        grid.
    data_pixels : int
        Pixels of the part that may hold data; 0: all.
    """

    kind: Kind
    name: str
    visit: str | None
    sky_cell_id: int | None
    sky_cells: tuple[str, ...]
    instrument: str
    detector: str
    filter: str
    filter_text: str
    grid: OutputGrid
    full_pixels: int
    members: tuple[EligibleExposure, ...]
    exposures: tuple[EligibleExposure, ...]
    exclusions: tuple[NewExclusion, ...]
    masked: bool
    drizzle: DrizzleParameters
    parameters: Mapping[str, Any]
    label: str = ""
    region: Mapping[str, Any] = field(default_factory=dict)
    data_pixels: int = 0

    @property
    def drizzled(self) -> bool:
        """Whether its pixels come from a drizzle."""
        return self.kind != "grism"

    @property
    def parameters_sha256(self) -> str:
        """The address of the parameters; another version of software with the same `ENGINE` changes none."""
        return parameters_sha256(
            {name: value for name, value in self.parameters.items() if name != "software"}
        )

    def inputs_sha256(self, masks: Mapping[str, str]) -> str:
        """Return the address of all inputs: files, solutions, masks (SHA-256 by rootname), grid, rules.

        The files of members that are no inputs do not count: their solutions alone make the grid.
        """
        return parameters_sha256(
            {
                "kind": self.kind,
                "grid": self.grid_row(),
                "members": [[one.rootname, one.transformation_sha256] for one in self.members],
                "inputs": [[*_address(one), one.wcsname, masks.get(one.rootname)] for one in self.exposures],
                "left_out": [[one.code, one.reason] for one in self.exclusions],
            }
        )

    def pixels_address(self, masks: Mapping[str, str]) -> str:
        """Return the address of all that bears on the pixels: equal addresses, equal bits."""
        used = {name: value for name, value in self.parameters.items() if name != "cosmic_ray_masks"}
        inputs = [[*_address(one), masks.get(one.rootname)] for one in self.exposures]
        return parameters_sha256({"grid": self.grid_row(), "inputs": inputs, "parameters": used})

    def grid_row(self) -> dict[str, Any]:
        """Return the output WCS as plain data; nothing where there is none."""
        return asdict(self.grid) if self.drizzled else {}

    def catalog_grid(self) -> dict[str, Any]:
        """Return the grid as the catalog keeps it; of a visit with the members that define it, of a field
        with the field."""
        if self.visit is None or not self.drizzled:
            return {**self.grid_row(), **self.region}
        members = sorted([one.exposure_id, one.solution_id] for one in self.members)
        return {**self.grid_row(), "members": members}

    def file_bytes(self, chips: int, compress: Compression | None = None) -> int:
        """Return the size of its pixels on disk; compressed, at most that of the part with data."""
        height, width = self.grid.shape
        images = 2 + self.drizzle.final.variance + self.drizzle.final.error
        planes = images + context_planes(chips) * self.drizzle.final.context
        pixels = self.data_pixels if compress and self.data_pixels else height * width
        return pixels * 4 * planes


def _address(exposure: EligibleExposure) -> list[str]:
    return [exposure.rootname, exposure.file_sha256, exposure.transformation_sha256]


def drizzle_parameters(
    options: MosaicOptions, level: Level, exposures: Sequence[EligibleExposure]
) -> DrizzleParameters:
    """Return how a product of the exposures of one detector is drizzled."""
    return parameters_of_case(options, product_case(level, exposures))


def comparison_parameters(options: MosaicOptions, exposures: Sequence[EligibleExposure]) -> DrizzleParameters:
    """Return how the exposures of a filter are compared: by the rules alone, for all products share masks."""
    return drizzle_parameters(replace(options, settings=(), pixfrac=None), "filter", exposures)


def rules_of_case(options: MosaicOptions, case: ProductCase) -> ChosenRules:
    """Return the parameters of a case, and which rules and settings made them so."""
    pixfrac = () if options.pixfrac is None else (f"final.pixfrac={options.pixfrac!r}",)
    return options.rules.chosen(case, (*options.settings, *pixfrac))


def parameters_of_case(options: MosaicOptions, case: ProductCase) -> DrizzleParameters:
    """Return what `drizzle_parameters` does, of a case."""
    return replace(rules_of_case(options, case).drizzle, lookup_origin=options.origin)


def product_case(level: Level, exposures: Sequence[EligibleExposure]) -> ProductCase:
    """Return what the rules look at of a product of the exposures of one detector."""
    filters = {one.filter for one in exposures}
    return ProductCase(
        detector=exposures[0].detector,
        level=level,
        exposures=max(sum(one.filter == name for one in exposures) for name in filters),
        start_mjd=min(exposure.mjd_start for exposure in exposures),
        filter=exposures[0].filter,
        visits=tuple(sorted({one.visit for one in exposures})),
    )


def product_parameters(drizzle: DrizzleParameters, masked: bool, software: str) -> dict[str, Any]:
    """Return the parameters of a product as plain data: all that bears on its pixels but its inputs."""
    final = drizzle.final
    return {
        "engine": ENGINE,
        "software": software,
        "kernel": final.kernel,
        "pixfrac": final.pixfrac,
        "weight": final.weight,
        "units": "electrons/s",
        "good_bits": final.bits,
        "sky": asdict(drizzle.sky),
        "final": asdict(final),
        "cosmic_ray_masks": masked,
        "lookup_origin": drizzle.lookup_origin,
    }


def exclusions_of(
    left_out: Sequence[LeftOutExposure], choice: Choice, refused: Sequence[EligibleExposure]
) -> tuple[NewExclusion, ...]:
    """Return what is left out: exposures that may not be mosaicked, and those a policy refused."""
    unusable = [NewExclusion(one.exposure_id, None, one.code, one.reason) for one in left_out]
    by_policy = [
        NewExclusion(one.exposure_id, one.solution_id, choice.code, choice.reason(one)) for one in refused
    ]
    return in_order(unusable, by_policy)


def in_order(*parts: Iterable[NewExclusion]) -> tuple[NewExclusion, ...]:
    """Return exclusions for several reasons in order of the exposures."""
    return tuple(sorted(chain.from_iterable(parts), key=lambda one: one.exposure_id))


def header_filter(exposures: Sequence[EligibleExposure]) -> str:
    """Return FILTER of a header: the elements but the clear ones, upper case, joined by ``;``."""
    elements = [text.upper() for text in exposures[0].filter_elements]
    shown = [text for text in elements if not text.startswith("CLEAR") and text not in ("", "N/A")]
    return ";".join(shown) or exposures[0].filter.upper()


def short_cells(exposures: Sequence[EligibleExposure]) -> tuple[str, ...]:
    """Return the tiles that exposures touch, without ``skycell-``, sorted."""
    names = {name.removeprefix("skycell-") for exposure in exposures for name in exposure.sky_cells}
    return tuple(sorted(names))


_COPY_PIXEL_BYTES = 4 + 4 + 2
"""SCI, ERR and DQ of a calibrated file."""


def memory_of_product(
    planned: PlannedProduct, shapes: Sequence[Sequence[tuple[int, int]]], options: MosaicOptions
) -> MemoryPlan:
    """Return what making a product needs at its peak; its masks are made before."""
    if not planned.drizzled:
        largest = max(height * width for chips in shapes for height, width in chips)
        return MemoryPlan(BASE_BYTES + EXPOSURE_BYTES + 2 * 4 * largest)
    return plan_memory(shapes, planned.drizzle, final=planned.grid, threads=options.threads, picture=True)
