"""The colour pictures beside products: made with the run that made their products, and again when those are.

A picture holds the address of the pixels it shows in a text chunk of its own (``hapctl-inputs``): where that
is not the address of the products in force, or the file is gone, it is made again. The run's summary names
every picture it made.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from hapctl.archive.runs import parameters_sha256
from hapctl.processing.imaging.colour import ColourPicture, colour_pictures
from hapctl.processing.imaging.durable import sync_folder
from hapctl.processing.imaging.preview import inputs_of, write_colour
from hapctl.processing.imaging.product_file import aside
from hapctl.processing.imaging.stopwatch import Stopwatch
from hapctl.processing.pipeline.build_product import ProductResult
from hapctl.processing.pipeline.planned import PlannedProduct

STYLE = 2
"""Raised when the same products give another picture."""


@dataclass(frozen=True)
class PictureResult:
    """What became of a colour picture; ``why`` says why there is none."""

    path: Path
    status: Literal["made", "unchanged", "none"]
    products: tuple[str, ...]
    why: str = ""


def filters_of_total(one: PlannedProduct, planned: Sequence[PlannedProduct], folder: Path) -> list[Path]:
    """Return the filter products a total is shown in colour from; of anything else nothing."""
    if one.kind != "total":
        return []
    shown = {exposure.filter for exposure in one.exposures}
    return [
        folder / other.name
        for other in planned
        if other.kind == "filter" and other.detector == one.detector and other.filter in shown
    ]


def make_pictures(
    planned: Sequence[PlannedProduct], made: Sequence[ProductResult], folder: Path, clock: Stopwatch
) -> tuple[PictureResult, ...]:
    """Make the colour pictures of products that are in force, where they are not what is there already.

    Parameters
    ----------
    planned : sequence of PlannedProduct
    made : sequence of ProductResult
        What became of them: each is in force.
    folder : path
        Of products and pictures.
    clock : Stopwatch
        Counts what making them takes as writing.
    """
    pixels = {one.name: one.pixels_sha256 for one in made}
    return tuple(_made(picture, pixels, folder, clock) for picture in colour_pictures(planned))


def _made(
    picture: ColourPicture, pixels: dict[str, str | None], folder: Path, clock: Stopwatch
) -> PictureResult:
    path = folder / picture.name
    if picture.obstacle:
        return PictureResult(path, "none", picture.products, picture.obstacle)
    address = parameters_sha256(
        {"style": STYLE, "products": sorted([name, pixels[name]] for name in picture.products)}
    )
    if inputs_of(path) == address:
        return PictureResult(path, "unchanged", picture.products)
    try:
        with clock.step("write"):
            write_colour(aside(path), [folder / name for name in picture.products], path.stem, address)
            os.replace(aside(path), path)
            sync_folder(folder)
    finally:
        aside(path).unlink(missing_ok=True)
    return PictureResult(path, "made", picture.products)
