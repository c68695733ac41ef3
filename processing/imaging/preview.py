"""Pictures of products: PNG with AVM tags, grey of one product, colour of several filters.

Products are read by bands and binned by whole pixels to at most 1024 a side, so memory does not depend on
their size. North is up where it is in the products (row 0 of a PNG is the highest). No text is drawn; what is
shown, and where it lies on the sky, is in the XMP packet (`avm`).
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from hapctl.processing.imaging.avm import Colour, PictureTags, ShownFilter, colours_of, xmp_packet
from hapctl.processing.imaging.grid import OutputGrid
from hapctl.processing.imaging.picture_grid import MOST_PIXELS, picture_grid
from hapctl.processing.imaging.picture_layer import PictureLayer, binned, read_layer
from hapctl.processing.imaging.stretch import ColourLevels, colour, colour_levels, grey, grey_levels
from numpy.typing import NDArray

XMP_KEYWORD = "XML:com.adobe.xmp"
INPUTS_KEYWORD = "hapctl-inputs"
"""Text chunk of a PNG: the address of what a picture was made from."""


@dataclass(frozen=True)
class ShownLayers:
    """Products read for one picture: what they are and their pixels on its grid, short wavelengths first."""

    layers: tuple[PictureLayer, ...]
    images: tuple[NDArray[np.float32], ...]
    grid: OutputGrid

    def levels(self) -> ColourLevels:
        """Choose the levels of a colour picture."""
        return colour_levels(self.images, [layer.energy for layer in self.layers])


def shown_layers(products: Sequence[Path], most_pixels: int = MOST_PIXELS) -> ShownLayers:
    """Read products for one picture, in order of wavelength.

    Raises
    ------
    UsageProblemError
        Their grids do not share the points of the sky they sample.
    """
    layers = sorted((read_layer(path) for path in products), key=lambda one: (one.wavelength, one.name))
    shared = picture_grid([layer.grid for layer in layers], most_pixels)
    images = tuple(
        binned(layer.path, bins, shared.grid.shape) for layer, bins in zip(layers, shared.bins, strict=True)
    )
    return ShownLayers(tuple(layers), images, shared.grid)


def write_preview(picture: Path, product: Path) -> None:
    """Write the grey picture of a product, and sync it to disk.

    Parameters
    ----------
    picture : path
        PNG to be written.
    product : path
        FITS file with SCI as an extension or as its primary image; tile-compressed ones are read, too.
    """
    shown = shown_layers([product])
    tags = picture_tags(
        shown, shown.layers[0].name.removesuffix(".fits"), "asinh stretch above the zscale limit"
    )
    [image] = shown.images
    save_picture(picture, grey(image, grey_levels(image)), xmp_packet(tags))


def write_colour(picture: Path, products: Sequence[Path], identifier: str, inputs: str = "") -> None:
    """Write the colour picture of products of two filters or more, and sync it to disk.

    Parameters
    ----------
    picture : path
        PNG to be written.
    products : sequence of path
        One for each filter, in any order.
    identifier : str
        What the picture is called in its tags.
    inputs : str
        Address of the products' pixels, kept in the picture (`inputs_of`).

    Raises
    ------
    UsageProblemError
        The products' grids do not share the points of the sky they sample.
    """
    shown = shown_layers(products)
    levels = shown.levels()
    tags = picture_tags(shown, identifier, how_coloured(shown.layers, levels))
    save_picture(picture, colour(shown.images, levels), xmp_packet(tags), {INPUTS_KEYWORD: inputs})


def how_coloured(layers: Sequence[PictureLayer], levels: ColourLevels) -> str:
    """Return in a sentence what white is in a colour picture."""
    text = "Colour after Lupton et al. (2004); "
    if levels.calibrated:
        text += "white is equal energy per octave of wavelength (flat lambda f_lambda)"
    else:
        text += "filters without photometry, balanced by their bright sources"
    down = [one.filter for one, turned in zip(layers, levels.turned_down, strict=True) if turned]
    return f"{text}; turned down for their noise: {', '.join(down)}" if down else text


def picture_tags(shown: ShownLayers, identifier: str, description: str) -> PictureTags:
    """Return what is said of a picture of some layers."""
    layers = shown.layers
    targets = sorted({layer.target for layer in layers if layer.target})
    runs = sorted({layer.run for layer in layers if layer.run})
    made = f" hapctl run {', '.join(map(str, runs))}." if runs else ""
    return PictureTags(
        identifier=identifier,
        title=f"{' and '.join(targets) or 'Sky'}: {', '.join(layer.filter for layer in layers)}",
        description=f"{description}.{made}",
        grid=shown.grid,
        filters=tuple(
            _shown_filter(layer, shade) for layer, shade in zip(layers, colours_of(len(layers)), strict=True)
        ),
        proposals=tuple(sorted({one for layer in layers for one in layer.proposals})),
        targets=tuple(targets),
        software=next((layer.software for layer in layers if layer.software), "hapctl"),
    )


def _shown_filter(layer: PictureLayer, shade: Colour) -> ShownFilter:
    return ShownFilter(
        layer.instrument,
        layer.detector,
        layer.filter,
        layer.wavelength,
        shade,
        layer.started,
        layer.exposure_time,
        layer.name.removesuffix(".fits"),
    )


def save_picture(
    path: Path, pixels: NDArray[np.uint8], xmp: str, texts: dict[str, str] | None = None
) -> None:
    """Write pixels as a PNG with its XMP packet, highest row first, and sync it to disk.

    Parameters
    ----------
    path : path
    pixels : ndarray, shape (ny, nx) or (ny, nx, 3), uint8
        y upward.
    xmp : str
    texts : dict of str to str, optional
        Further text chunks; empty ones are left out.
    """
    from PIL import Image
    from PIL.PngImagePlugin import PngInfo

    information = PngInfo()
    information.add_itxt(XMP_KEYWORD, xmp)
    for keyword, text in (texts or {}).items():
        if text:
            information.add_text(keyword, text)
    with open(path, "wb") as file:
        Image.fromarray(np.ascontiguousarray(pixels[::-1])).save(file, format="PNG", pnginfo=information)
        file.flush()
        os.fsync(file.fileno())


def inputs_of(picture: Path) -> str:
    """Return the address of what a picture was made from; empty where there is no such picture."""
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(picture) as image:
            image.load()
            return str(image.info.get(INPUTS_KEYWORD, ""))
    except (FileNotFoundError, UnidentifiedImageError, OSError, SyntaxError):
        return ""
