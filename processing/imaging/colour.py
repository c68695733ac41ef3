"""Which products make a colour picture, and what it is called.

A total is shown in colour from the filters of its detector. Beside products lie colour pictures of their own:
of a tile or field one for each detector with two filters or more, and one of all its layers where there are
several detectors; of a visit one of all detectors, where they share a grid (nested).
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Protocol, TypeVar

from hapctl.processing.imaging.grid import OutputGrid
from hapctl.processing.imaging.picture_grid import share_points
from hapctl.processing.imaging.product_names import detector_label


class Colourable(Protocol):
    """What a product must tell to be shown in colour with others."""

    @property
    def kind(self) -> str: ...  # filter, layer or mosaic
    @property
    def name(self) -> str: ...
    @property
    def visit(self) -> str | None: ...
    @property
    def instrument(self) -> str: ...
    @property
    def detector(self) -> str: ...
    @property
    def filter(self) -> str: ...
    @property
    def grid(self) -> OutputGrid: ...
    @property
    def label(self) -> str: ...


Product = TypeVar("Product", bound=Colourable)


@dataclass(frozen=True)
class ColourPicture:
    """A colour picture to be made.

    Attributes
    ----------
    name : str
        File name.
    products : tuple of str
        Names of the products that go in, one for each filter of each detector.
    obstacle : str
        Why there can be none; empty: there can.
    """

    name: str
    products: tuple[str, ...]
    obstacle: str = ""


def colour_pictures(products: Iterable[Product]) -> list[ColourPicture]:
    """Return the colour pictures of the products of a visit, a tile or a field, by name.

    Of a filter with layers of several pixel sizes the finest goes in.
    """
    shown = [one for one in products if one.kind in ("filter", "layer", "mosaic")]
    found: list[ColourPicture] = []
    for (place, label), members in _grouped(shown, lambda one: (_place(one), one.label)):
        cameras = _grouped(_finest(members), lambda one: (one.instrument, one.detector))
        if members[0].visit is None:
            found += [
                ColourPicture(_name(f"{place}_{_camera(*camera)}", label), _names(layers))
                for camera, layers in cameras
                if len(layers) > 1
            ]
        if len(cameras) > 1:
            found.append(_of_all(place, label, [one for _, layers in cameras for one in layers]))
    return sorted(found, key=lambda one: one.name)


def _of_all(place: str, label: str, layers: Sequence[Product]) -> ColourPicture:
    first = layers[0]
    stem = place if first.visit is None else f"{place}_{first.instrument.lower()}_{first.visit}"
    apart = not all(share_points(first.grid, one.grid) for one in layers)
    obstacle = "the detectors do not share a grid (--grid nested makes them)" if apart else ""
    return ColourPicture(_name(stem, label), _names(layers), obstacle)


def _name(stem: str, label: str) -> str:
    return f"{stem}_{label}_colour.png" if label else f"{stem}_colour.png"


def _place(product: Colourable) -> str:
    """Return what stands before the instrument in a name: ``hst_9019_06``, ``hst_skycell-p0046x03y19``."""
    return product.name.partition(f"_{product.instrument.lower()}_")[0]


def _camera(instrument: str, detector: str) -> str:
    return f"{instrument.lower()}_{detector_label(instrument, detector)}"


def _finest(products: Sequence[Product]) -> list[Product]:
    by_filter = _grouped(products, lambda one: (one.instrument, one.detector, one.filter))
    return [min(layers, key=lambda one: one.grid.scale_arcsec) for _, layers in by_filter]


def _names(products: Sequence[Product]) -> tuple[str, ...]:
    return tuple(one.name for one in products)


def _grouped(
    products: Iterable[Product], key: Callable[[Product], tuple[str, ...]]
) -> list[tuple[tuple[str, ...], list[Product]]]:
    return [(name, list(group)) for name, group in groupby(sorted(products, key=key), key=key)]
