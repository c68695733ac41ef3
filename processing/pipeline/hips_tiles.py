"""`hapctl hips`: the layers of sky tiles as HiPS, one for each filter and one in colour, and a page.

Each HiPS is made aside and takes its place whole. Its properties hold the address of the layers it shows: one
that shows them already stays as it is.
"""

import os
import shutil
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import numpy as np
from hapctl.archive.database import Catalog
from hapctl.archive.errors import NotInCatalogError
from hapctl.archive.locks import advisory_lock
from hapctl.archive.runs import Run, parameters_sha256, recorded_run
from hapctl.archive.sky_cells import sky_cell
from hapctl.archive.tile_layers import TileLayer, layers_of_tiles
from hapctl.processing.errors import MissingFileError, RefusedError
from hapctl.processing.imaging.durable import told_where
from hapctl.processing.imaging.hips import (
    HipsTiles,
    check_reproject,
    coverage,
    order_of,
    tile_numbers,
    write_hips,
)
from hapctl.processing.imaging.hips_page import (
    ALADIN,
    SurveyFacts,
    page_text,
    properties_text,
    read_properties,
)
from hapctl.processing.imaging.hips_pictures import paint_colour, paint_grey, write_overviews
from hapctl.processing.imaging.observer import Observer
from hapctl.processing.imaging.picture_grid import picture_grid
from hapctl.processing.imaging.picture_layer import PictureLayer, binned, read_layer
from hapctl.processing.imaging.product_names import detector_label, filter_label
from hapctl.processing.imaging.stretch import ColourLevels, GreyLevels, colour_levels, grey_levels
from hapctl.processing.pipeline.engine import software_name
from hapctl.processing.whole_files import write_whole
from numpy.typing import NDArray

STYLE = 1
"""Raised when the same layers give another HiPS."""
COLOUR = "colour"


@dataclass(frozen=True)
class Survey:
    """One filter of the tiles, as a HiPS.

    Attributes
    ----------
    name : str
        Of its folder: ``acs_wfc_f606w``.
    rows : tuple of TileLayer
    layers : tuple of PictureLayer
    """

    name: str
    rows: tuple[TileLayer, ...]
    layers: tuple[PictureLayer, ...]

    @property
    def wavelength(self) -> float:
        """Pivot wavelength, nm."""
        return self.layers[0].wavelength


@dataclass(frozen=True)
class HipsResult:
    """What became of one HiPS."""

    name: str
    path: Path
    status: Literal["made", "unchanged"]
    order: int
    tiles: int
    layers: tuple[str, ...]


@dataclass(frozen=True)
class HipsReport:
    """What the command did; ``stale`` names layers that are not what would be made now."""

    run: int
    page: Path
    surveys: tuple[HipsResult, ...]
    stale: tuple[str, ...]


def hips_of_tiles(
    catalog: Catalog,
    tiles: Sequence[str],
    output: Path,
    *,
    filters: Sequence[str] = (),
    script: str = ALADIN,
    arguments: Sequence[str] = (),
    observer: Observer | None = None,
) -> HipsReport:
    """Make the HiPS of the layers of some sky tiles, or find them current.

    Parameters
    ----------
    catalog : Catalog
    tiles : sequence of str
    output : path
        Folder; each HiPS is a folder in it, beside the page.
    filters : sequence of str
        Only these; empty: all.
    script : str
        Address of Aladin Lite's script, for the page.
    arguments : sequence of str
        The command line, for the run.
    observer : Observer, optional

    Raises
    ------
    NotInCatalogError
        A tile is none, or the tiles have no layer (of these filters).
    MissingFileError
        The file of a layer is not there.
    RefusedError
        The package `reproject` is not installed, or a folder in the way is no HiPS of hapctl.
    UsageProblemError, TooLargeError
        The tiles lie too far apart, or the disk has no room.
    """
    check_reproject()
    names = [sky_cell(tile).name for tile in tiles]
    surveys = _surveys(catalog, names, filters)
    parameters = {"tiles": names, "output": str(output), "filters": list(filters), "script": script}
    with recorded_run(catalog, "hips", parameters, arguments) as run, told_where(output):
        output.mkdir(parents=True, exist_ok=True)
        with advisory_lock(run, "hips", str(output)):
            results = _Maker(run, output, names, observer or Observer()).all(surveys)
            page = output / "index.html"
            title = f"{' '.join(names)} (Hubble)"
            shown = {one.name: one.name.replace("_", " ") for one in reversed(results)}
            write_whole(page, page_text(title, shown, _facts(surveys, names, run), script))
        run.summary |= {
            "hips": [{"name": one.name, "status": one.status, "layers": list(one.layers)} for one in results]
        }
        stale = tuple(row.name for survey in surveys for row in survey.rows if row.stale)
        return HipsReport(run.id, page, tuple(results), stale)


def _surveys(catalog: Catalog, tiles: Sequence[str], filters: Sequence[str]) -> list[Survey]:
    """Return the filters from short to long wavelength, each with the finest layer of each tile."""
    with catalog.begin() as connection:
        rows = layers_of_tiles(connection, tiles)
    wanted = {filter_label(name) for name in filters}
    chosen: dict[tuple[str, str], TileLayer] = {}
    for row in rows:
        camera = f"{row.instrument.lower()}_{detector_label(row.instrument, row.detector)}"
        name = f"{camera}_{filter_label(row.filter)}"
        if wanted and filter_label(row.filter) not in wanted:
            continue
        before = chosen.get((name, row.sky_cell))
        if before is None or row.pixel_scale < before.pixel_scale * (1 - 1e-6):
            chosen[name, row.sky_cell] = row
    if not chosen:
        which = f" in {', '.join(filters)}" if filters else ""
        raise NotInCatalogError(
            f"{', '.join(tiles)}: no layer{which} is in force", "make it: hapctl mosaic --tile"
        )
    groups: dict[str, list[TileLayer]] = defaultdict(list)
    for (name, _), row in sorted(chosen.items()):
        groups[name].append(row)
    surveys = [Survey(name, tuple(group), tuple(map(_read, group))) for name, group in groups.items()]
    return sorted(surveys, key=lambda one: (one.wavelength, one.name))


def _read(row: TileLayer) -> PictureLayer:
    if not row.path.is_file():
        remedy = f"make it again: hapctl mosaic --tile {row.sky_cell}"
        raise MissingFileError(f"{row.path} is not there", remedy)
    return read_layer(row.path)


@dataclass(frozen=True)
class _Maker:
    """Makes the HiPS of one command."""

    run: Run
    output: Path
    tiles: Sequence[str]
    observer: Observer

    def all(self, surveys: Sequence[Survey]) -> list[HipsResult]:
        """Make each filter, then the colour of them all."""
        order = order_of(min(layer.grid.scale_arcsec for survey in surveys for layer in survey.layers))
        made = [self._grey(survey, order) for survey in surveys]
        return [*made, self._colour(surveys, order)] if len(surveys) > 1 else made

    def _grey(self, survey: Survey, order: int) -> HipsResult:
        address = _address([survey], order)
        final = self.output / survey.name
        if not self._is_current(final, address):
            with _Aside(final) as folder:
                levels = _grey_levels(survey)
                written = write_hips(folder, survey.layers, order, self.observer.progress)
                paint_grey(folder, order, levels, self.observer.progress)
                shown = (levels.black, levels.black + levels.white)
                facts = _facts([survey], self.tiles, self.run, shown)
                self._finish(folder, written, replace(facts, order=order, inputs=address), "png fits")
            return self._result(final, "made", order, [survey])
        return self._result(final, "unchanged", order, [survey])

    def _colour(self, surveys: Sequence[Survey], order: int) -> HipsResult:
        address = _address(surveys, order)
        final = self.output / COLOUR
        if self._is_current(final, address):
            return self._result(final, "unchanged", order, surveys)
        filters = [self.output / survey.name for survey in surveys]
        with _Aside(final) as folder:
            folder.mkdir()
            paint_colour(folder, filters, order, _colour_levels(surveys), self.observer.progress)
            facts = replace(_facts(surveys, self.tiles, self.run), order=order, inputs=address)
            written = [HipsTiles(one, order, tile_numbers(one, order)) for one in filters]
            self._finish(folder, written, facts, "png")
        return self._result(final, "made", order, surveys)

    def _is_current(self, folder: Path, address: str) -> bool:
        known = read_properties(folder).get("hapctl_inputs", "")
        if folder.exists() and not known:
            raise RefusedError(f"{folder} is no HiPS of hapctl, and in the way", "give another --output")
        return known == address

    def _finish(
        self, folder: Path, written: HipsTiles | Sequence[HipsTiles], facts: SurveyFacts, formats: str
    ) -> None:
        """Write what belongs to a HiPS beside its tiles."""
        parts = [written] if isinstance(written, HipsTiles) else written
        moc = coverage(parts[0])
        for part in parts[1:]:
            moc = moc.union(coverage(part))
        moc.save(str(folder / "Moc.fits"), format="fits", overwrite=True)
        write_overviews(folder)
        size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
        told = replace(facts, formats=formats, sky_fraction=float(moc.sky_fraction), bytes=size)
        (folder / "properties").write_text(properties_text(told))
        (folder / "index.html").write_text(page_text(told.title, {".": told.filters}, told))

    def _result(
        self, folder: Path, status: Literal["made", "unchanged"], order: int, surveys: Sequence[Survey]
    ) -> HipsResult:
        tiles = sum(1 for _ in (folder / f"Norder{order}").glob("Dir*/Npix*.png"))
        layers = tuple(row.name for survey in surveys for row in survey.rows)
        return HipsResult(folder.name, folder, status, order, tiles, layers)


class _Aside:
    """A folder made beside its place, which it takes whole; of a failure nothing is left."""

    def __init__(self, final: Path) -> None:
        self._final = final
        self._folder = final.with_name(f".{final.name}.part")
        self._old = final.with_name(f".{final.name}.previous")

    def __enter__(self) -> Path:
        for folder in (self._folder, self._old):
            shutil.rmtree(folder, ignore_errors=True)
        return self._folder

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            return
        if self._final.exists():
            os.replace(self._final, self._old)
        os.replace(self._folder, self._final)
        shutil.rmtree(self._old, ignore_errors=True)


def _address(surveys: Sequence[Survey], order: int) -> str:
    rows = sorted([row.name, row.pixels_sha256] for survey in surveys for row in survey.rows)
    return parameters_sha256({"style": STYLE, "order": order, "layers": rows})


def _grey_levels(survey: Survey) -> GreyLevels:
    return grey_levels(np.concatenate([_pixels([layer])[0].ravel() for layer in survey.layers]))


def _colour_levels(surveys: Sequence[Survey]) -> ColourLevels:
    """Choose the levels from all tiles together; a tile that lacks a filter is unknown there."""
    parts: list[list[NDArray[np.float32]]] = [[] for _ in surveys]
    for tile in sorted({row.sky_cell for survey in surveys for row in survey.rows}):
        found = [_layer_of(survey, tile) for survey in surveys]
        images = iter(_pixels([layer for layer in found if layer is not None]))
        shown = [next(images) if layer is not None else None for layer in found]
        size = next(len(image.ravel()) for image in shown if image is not None)
        for part, image in zip(parts, shown, strict=True):
            part.append(np.full(size, np.nan, dtype=np.float32) if image is None else image.ravel())
    energies = [survey.layers[0].energy for survey in surveys]
    return colour_levels([np.concatenate(part) for part in parts], energies)


def _layer_of(survey: Survey, tile: str) -> PictureLayer | None:
    pairs = zip(survey.rows, survey.layers, strict=True)
    return next((layer for row, layer in pairs if row.sky_cell == tile), None)


def _pixels(layers: Sequence[PictureLayer]) -> list[NDArray[np.float32]]:
    shared = picture_grid([layer.grid for layer in layers])
    return [binned(one.path, bins, shared.grid.shape) for one, bins in zip(layers, shared.bins, strict=True)]


def _facts(
    surveys: Sequence[Survey], tiles: Sequence[str], run: Run, levels: tuple[float, ...] = ()
) -> SurveyFacts:
    """Return what is known before a HiPS is written."""
    layers = [layer for survey in surveys for layer in survey.layers]
    corners = [layer.grid.pixel_to_sky(*_corner_pixels(layer)) for layer in layers]
    ra = np.concatenate([one[0] for one in corners])
    dec = np.concatenate([one[1] for one in corners])
    turned = (ra - ra[0] + 180.0) % 360.0 - 180.0
    middle = float(ra[0] + 0.5 * (turned.min() + turned.max())) % 360.0
    centre = (middle, float(0.5 * (dec.min() + dec.max())))
    width = float(np.ptp(turned)) * float(np.cos(np.radians(centre[1])))
    filters = ", ".join(dict.fromkeys(layer.filter for layer in layers))
    cameras = " ".join(dict.fromkeys(f"{layer.instrument}/{layer.detector}" for layer in layers))
    nanometres = [layer.wavelength for layer in layers if layer.wavelength > 0]
    times = [value for layer in layers for value in layer.mjd]
    return SurveyFacts(
        identifier=f"ivo://hapctl/P/{tiles[0]}/{surveys[0].name if len(surveys) == 1 else COLOUR}",
        title=f"HST {cameras} {filters}: {' '.join(tiles)}",
        collection="HST sky tiles",
        description=f"Drizzled layers of {' '.join(tiles)} in {filters}, by hapctl run {run.id}",
        instruments=cameras,
        filters=filters,
        progenitors=tuple(layer.name for layer in layers),
        order=0,
        formats="",
        released=datetime.now(UTC).strftime("%Y-%m-%dT%H:%MZ"),
        centre=centre,
        field=1.1 * max(width, float(np.ptp(dec))),
        sky_fraction=0.0,
        pixel_scale=min(layer.grid.scale_arcsec for layer in layers) / 3600.0,
        levels=levels,
        wavelengths=(min(nanometres) * 1e-9, max(nanometres) * 1e-9) if nanometres else (),
        times=(min(times), max(times)) if times else (),
        bytes=0,
        inputs="",
        software=software_name(),
    )


def _corner_pixels(layer: PictureLayer) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    height, width = layer.grid.shape
    return np.array([0.0, width - 1.0, width - 1.0, 0.0]), np.array([0.0, 0.0, height - 1.0, height - 1.0])
