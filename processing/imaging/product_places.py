"""Where the results of a drizzle go, and what speaks against it before anything is written."""

import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hapctl.processing.errors import RefusedError, TooLargeError, UsageProblemError
from hapctl.processing.imaging.grid_choice import check_grid_parameters
from hapctl.processing.imaging.input_files import InputExposure, same_file, shown_size
from hapctl.processing.imaging.parameters import DrizzleParameters
from hapctl.processing.imaging.product_description import ProductDescription
from hapctl.processing.imaging.product_file import separate_paths


@dataclass(frozen=True)
class Places:
    """Where the results go.

    Attributes
    ----------
    product : Path or None
        The file of the product (``.fits`` may be left out); None: there is none.
    separate : bool
        A file for each image: OUT_sci.fits and so on.
    preview : bool
        A PNG beside the product.
    keep : Path or None
        Folder of intermediate products.
    overwrite : bool
        Whether older files may be replaced.
    """

    product: Path | None = None
    separate: bool = False
    preview: bool = True
    keep: Path | None = None
    overwrite: bool = False


def check_places(parameters: DrizzleParameters, places: Places) -> None:
    """Refuse what can be seen without reading any pixel."""
    check_grid_parameters(parameters.final)
    if parameters.final.enabled != (places.product is not None):
        if parameters.final.enabled:
            raise UsageProblemError("no name for the product", "give -o OUT, or --set final.enabled=false")
        raise UsageProblemError("-o OUT without a final image", "leave out one of -o and final.enabled=false")
    if places.product is None and places.keep is None:
        raise UsageProblemError("nothing would be written", "give -o OUT, or --keep DIR for single steps")
    if places.product is not None:
        check_folder(places.product.absolute().parent)
    if (
        places.keep is not None
        and places.keep.is_dir()
        and any(places.keep.iterdir())
        and not places.overwrite
    ):
        raise RefusedError(f"the folder {places.keep} is not empty", "name another, or give --overwrite")


def check_folder(folder: Path) -> None:
    """Refuse a folder that is not there or can't be written."""
    if not folder.is_dir():
        raise RefusedError(f"the folder {folder} is not there", f"mkdir -p {folder}")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise RefusedError(f"the folder {folder} can't be written", "write to another folder")


def product_paths(places: Places, product: ProductDescription) -> tuple[Path, ...]:
    """Return the files of the product."""
    assert places.product is not None
    if places.separate:
        return separate_paths(places.product, product)
    name = places.product.name
    return (places.product if name.endswith(".fits") else places.product.with_name(f"{name}.fits"),)


def check_free(files: Sequence[Path], places: Places, inputs: Sequence[InputExposure]) -> None:
    """Refuse places that hold an input, a folder, or an older file that may not be replaced."""
    pictures = [files[0].with_suffix(".png")] if places.preview else []
    for path in (*files, *pictures):
        if any(same_file(path, one.file.path) for one in inputs):
            raise RefusedError(f"{path} is an input", "give another -o")
        if path.is_dir():
            raise RefusedError(f"{path} is a folder", "give another -o")
        if path.exists() and not places.overwrite:
            raise RefusedError(f"{path} is there already", "give another -o, or --overwrite")


def check_room(needed: int, files: Sequence[Path], places: Places) -> None:
    """Refuse work whose files need more bytes than the disk has.

    Raises
    ------
    TooLargeError
    """
    folder = files[0].absolute().parent if files else places.keep
    if folder is None or not folder.is_dir():
        return
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise TooLargeError(
            f"{folder} has {shown_size(free)} free, {shown_size(needed)} are needed",
            "free space, or write to another disk",
        )
