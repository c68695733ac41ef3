"""`cutout`: a field cut out of products in force, of files, or of the layers of the tiles that hold it.

Names are HAP's: ``hst_cutout_skycell-pPPPP-ra..-dec.._<camera>_<filter>`` from the layer of one tile,
``hst_combined_skycells-ra..-dec.._<camera>_<filter>`` where the field lies on an edge and several tiles of a
projection cell are needed; ``_coarse`` and the label of a split layer follow. A cut-out of another product
has the product's name and the centre: ``hst_cutout_<product>-ra..-dec..``.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from hapctl.archive.cutout_sources import SourceProduct, cutout_sources
from hapctl.archive.database import Catalog
from hapctl.archive.errors import CatalogUsageError, NotInCatalogError
from hapctl.archive.runs import recorded_run
from hapctl.archive.sky_cells import ProjectionCell, SkyCell, cells_containing, cells_overlapping, sky_cell
from hapctl.archive.sky_region import separation_deg
from hapctl.processing.errors import NoViableDataError
from hapctl.processing.imaging.compressed_file import Compression
from hapctl.processing.imaging.cutout import Cutout, write_cutout
from hapctl.processing.imaging.durable import told_where
from hapctl.processing.imaging.product_names import detector_label, filter_label, position_label
from hapctl.processing.pipeline.field_grid import Field, FieldPlace
from hapctl.processing.pipeline.mosaic_tile import tile_grid

_COARSE_ARCSEC = 0.1


@dataclass(frozen=True)
class CutRequest:
    """What is asked for.

    Attributes
    ----------
    center : tuple of float
        RA, Dec, degrees ICRS.
    size : tuple of float
        Width and height, arcsec.
    output : Path
        Folder of the cut-outs.
    products : tuple of str
        Names of tiles, names or paths of products, files; with neither these nor a visit, the layers of the
        tiles that hold the centre.
    visit : str or None
        All drizzled products of the visit.
    compress : {"rice", "gzip"} or None
    """

    center: tuple[float, float]
    size: tuple[float, float]
    output: Path
    products: tuple[str, ...] = ()
    visit: str | None = None
    compress: Compression | None = None

    def as_parameters(self) -> dict[str, Any]:
        """Return the request as plain data, for the run."""
        return {**asdict(self), "output": str(self.output)}


@dataclass(frozen=True)
class CutReport:
    """What was cut out; ``empty`` says of each product without data in the field why there is no cut-out."""

    run: int
    cutouts: tuple[Cutout, ...]
    empty: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class CutJob:
    """A cut-out to make: its file name, and the products it comes from."""

    name: str
    products: tuple[Path, ...]


def cut_products(catalog: Catalog, request: CutRequest, arguments: Sequence[str] = ()) -> CutReport:
    """Cut a field out of products; what they are made of stays with them.

    Parameters
    ----------
    catalog : Catalog
    request : CutRequest
    arguments : sequence of str
        The command line, for the run.

    Raises
    ------
    NotInCatalogError
        No such product, tile or visit.
    CatalogUsageError
        Several folders hold a product of that name.
    NoViableDataError
        No product has data in the field.
    RefusedError, TooLargeError, UnusableFileError
    """
    with recorded_run(catalog, "cutout", request.as_parameters(), arguments) as run:
        jobs = cut_jobs(catalog, request)
        made, empty = [], {}
        with told_where(request.output):
            request.output.mkdir(parents=True, exist_ok=True)
            for job in jobs:
                try:
                    made.append(_made(job, request, run.id))
                except NoViableDataError as error:
                    empty[job.name] = error.message
        run.summary |= {"cutouts": [_row(one) for one in made], "empty": empty}
        if not made:
            raise NoViableDataError(
                f"none of {len(jobs)} products has data in the field: {next(iter(empty.values()))}",
                "give another --center or --size",
            )
    return CutReport(run.id, tuple(made), empty)


def _made(job: CutJob, request: CutRequest, run: int) -> Cutout:
    return write_cutout(
        request.output / job.name,
        job.products,
        request.center,
        request.size,
        compress=request.compress,
        run=run,
    )


def _row(cutout: Cutout) -> dict[str, Any]:
    return {**asdict(cutout), "path": str(cutout.path)}


def cut_jobs(catalog: Catalog, request: CutRequest) -> list[CutJob]:
    """Return the cut-outs to make, by name."""
    files = [str(Path(word).absolute()) for word in request.products if Path(word).is_file()]
    words = [word for word in request.products if not Path(word).is_file()]
    tiles = [sky_cell(word) for word in words if _is_tile(word)]
    names = [word for word in words if not _is_tile(word)]
    all_around = not (request.products or request.visit)
    if all_around:
        tiles = _tiles_of_field(request)
    with catalog.begin() as connection:
        found = cutout_sources(
            connection, visit=request.visit, tiles=[tile.name for tile in tiles], names=[*names, *files]
        )
    _check_found(request, found, names)
    known = {one.path for one in found}
    jobs = [_single(one.name, Path(one.path), request) for one in found if one.sky_cell is None]
    jobs += [_single(Path(word).name, Path(word), request) for word in files if word not in known]
    jobs += layer_jobs([one for one in found if one.sky_cell is not None], request)
    return sorted(jobs, key=lambda job: job.name)


def _is_tile(word: str) -> bool:
    try:
        sky_cell(word)
    except NotInCatalogError:
        return False
    return True


def _tiles_of_field(request: CutRequest) -> list[SkyCell]:
    """All tiles that hold some of the field, in whatever projection cell."""
    cell = cells_containing(*request.center)[0].projection_cell
    corners = FieldPlace(Field(*request.center, *request.size), cell).corners
    return [tile for tile, _ in cells_overlapping([corners])]


def _check_found(request: CutRequest, found: Sequence[SourceProduct], names: Sequence[str]) -> None:
    for name in names:
        paths = [one.path for one in found if name in (one.name, one.path)]
        if not paths:
            raise NotInCatalogError(
                f"{name}: no tile, no file, and no such product in force", "see 'hapctl product list'"
            )
        if len(paths) > 1:
            raise CatalogUsageError(
                f"{len(paths)} products are called {name}: {', '.join(paths)}", "give the path"
            )
    if not found and not request.products:
        what = f"visit {request.visit}" if request.visit else "the tiles of the field"
        raise NotInCatalogError(f"no products of {what} are in force", "make them first (hapctl mosaic)")
    missing = [
        word
        for word in request.products
        if _is_tile(word) and sky_cell(word).name not in {o.sky_cell for o in found}
    ]
    if missing:
        raise NotInCatalogError(
            f"no layers of {missing[0]} are in force", "make them first (hapctl mosaic --tile)"
        )


def _single(name: str, path: Path, request: CutRequest) -> CutJob:
    stem = name.removesuffix(".fits").removeprefix("hst_")
    return CutJob(f"hst_cutout_{stem}-{position_label(*request.center)}.fits", (path,))


_Layer = tuple[str, str, str, str, bool]


def layer_jobs(layers: Sequence[SourceProduct], request: CutRequest) -> list[CutJob]:
    """A cut-out of each kind of layer: from one tile if one holds the field, else from several."""
    kinds: dict[_Layer, list[SourceProduct]] = defaultdict(list)
    for one in layers:
        coarse = one.pixel_scale > _COARSE_ARCSEC
        kinds[one.instrument, one.detector, one.filter, one.label, coarse].append(one)
    return [job for kind, members in kinds.items() for job in _of_kind(kind, members, request)]


def _of_kind(kind: _Layer, members: Sequence[SourceProduct], request: CutRequest) -> list[CutJob]:
    """Tiles of the projection cell whose centre is nearest; coarse pixels of two tiles do not coincide."""
    cells = {sky_cell(str(one.sky_cell)): one for one in members}
    plane = min({cell.projection_cell for cell in cells}, key=lambda one: _distance_to_plane(one, request))
    near = sorted(
        (cell for cell in cells if cell.projection_cell == plane), key=lambda one: _off_centre(one, request)
    )
    whole = [cell for cell in near if _holds(cell, request)]
    used = whole[:1] or (near[:1] if kind[4] else near)
    paths = tuple(Path(cells[cell].path) for cell in used)
    place = f"skycell-p{plane.number:04d}" if len(used) == 1 else "skycells"
    word = "cutout" if len(used) == 1 else "combined"
    return [CutJob(f"hst_{word}_{place}-{position_label(*request.center)}_{_layer_words(kind)}.fits", paths)]


def _layer_words(kind: _Layer) -> str:
    instrument, detector, filter_name, label, coarse = kind
    words = [instrument.lower(), detector_label(instrument, detector), filter_label(filter_name)]
    return "_".join([*words, *(["coarse"] if coarse else []), *([label] if label else [])])


def _distance_to_plane(plane: ProjectionCell, request: CutRequest) -> tuple[float, int]:
    return float(
        separation_deg(np.array([plane.ra]), np.array([plane.dec]), *request.center)[0]
    ), plane.number


def _off_centre(cell: SkyCell, request: CutRequest) -> float:
    x, y = tile_grid(cell).sky_to_pixel(*request.center)
    return max(abs(float(x) - 0.5 * cell.shape[1]), abs(float(y) - 0.5 * cell.shape[0]))


def _holds(cell: SkyCell, request: CutRequest) -> bool:
    """Whether a tile holds the whole field."""
    grid = tile_grid(cell)
    x, y = (float(value) for value in grid.sky_to_pixel(*request.center))
    half_x, half_y = (0.5 * side / grid.scale_arcsec for side in request.size)
    height, width = grid.shape
    return (
        half_x <= x + 0.5 and x + half_x <= width - 0.5 and half_y <= y + 0.5 and y + half_y <= height - 0.5
    )
