"""Which products make a colour picture, its name, and when it is made again."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from hapctl.processing.imaging.colour import colour_pictures
from hapctl.processing.imaging.grid import OutputGrid
from hapctl.processing.imaging.preview import inputs_of
from hapctl.processing.imaging.stopwatch import Stopwatch
from hapctl.processing.pipeline.pictures import make_pictures
from PIL import Image
from support.layer_files import FIELD, layer_file, starry

TILE = "skycell-p1360x11y11"


@dataclass(frozen=True)
class Product:
    """What a product tells of itself before it is made, and its pixels' sum afterwards."""

    name: str
    instrument: str
    detector: str
    filter: str
    kind: str = "layer"
    visit: str | None = None
    grid: OutputGrid = FIELD
    label: str = ""
    pixels_sha256: str = "a" * 64


def layer(instrument: str, detector: str, name: str, coarse: bool = False, label: str = "") -> Product:
    text = f"hst_{TILE}_{instrument}_{detector}_{name}_{'coarse-' * coarse}{label or 'all'}_drz.fits".lower()
    grid = replace(FIELD, cd=tuple(3 * value for value in FIELD.cd)) if coarse else FIELD
    return Product(text, instrument, detector, name, grid=grid, label=label)


def of_visit(detector: str, name: str, grid: OutputGrid = FIELD) -> Product:
    text = f"hst_9019_06_wfc3_{detector}_{name}_ibxx06_drz.fits".lower()
    return Product(text, "WFC3", detector, name, "filter", "ibxx06", grid)


def test_a_tile_has_one_of_each_detector_and_one_of_all() -> None:
    uvis = [layer("WFC3", "UVIS", name) for name in ("f336w", "f606w")]
    infrared = [layer("WFC3", "IR", name, coarse) for name in ("f110w", "f160w") for coarse in (True, False)]
    single = [layer("ACS", "WFC", "f814w")]
    found = {one.name: one for one in colour_pictures([*uvis, *infrared, *single])}
    stem = f"hst_{TILE}"
    assert set(found) == {f"{stem}_colour.png", f"{stem}_wfc3_ir_colour.png", f"{stem}_wfc3_uvis_colour.png"}
    assert len(found[f"{stem}_colour.png"].products) == 5
    assert not any("coarse" in name for one in found.values() for name in one.products)
    assert not any(one.obstacle for one in found.values())


def test_parts_of_split_layers_are_not_mixed() -> None:
    layers = [
        layer("ACS", "WFC", name, label=label) for name in ("f606w", "f814w") for label in ("y2002", "y2012")
    ]
    found = colour_pictures(layers)
    assert [one.name for one in found] == [
        f"hst_{TILE}_acs_wfc_y2002_colour.png",
        f"hst_{TILE}_acs_wfc_y2012_colour.png",
    ]
    assert all("y2002" in name for name in found[0].products)


def test_one_filter_makes_no_colour() -> None:
    assert colour_pictures([layer("ACS", "WFC", "f606w")]) == []
    assert colour_pictures([layer("WFC3", "IR", "f160w", coarse) for coarse in (True, False)]) == []
    assert (
        colour_pictures([of_visit("UVIS", "f606w"), of_visit("UVIS", "f814w")]) == []
    )  # the total shows them


def test_detectors_of_a_visit_share_a_picture_on_a_shared_grid_only() -> None:
    coarse = replace(FIELD, cd=tuple(3 * value for value in FIELD.cd), crpix=(50.5, 50.5))
    other = replace(FIELD, cd=tuple(3.2 * value for value in FIELD.cd))
    fine = replace(FIELD, crpix=(150.5, 150.5))
    [nested] = colour_pictures([of_visit("UVIS", "f606w", fine), of_visit("IR", "f160w", coarse)])
    assert (nested.name, nested.obstacle) == ("hst_9019_06_wfc3_ibxx06_colour.png", "")
    [native] = colour_pictures([of_visit("UVIS", "f606w", fine), of_visit("IR", "f160w", other)])
    assert "--grid nested" in native.obstacle


@pytest.fixture
def layers(tmp_path: Path) -> list[Product]:
    found = [layer("ACS", "WFC", name) for name in ("f606w", "f814w")]
    for number, one in enumerate(found):
        layer_file(
            tmp_path / one.name, starry(FIELD, seed=number), FIELD, one.filter.upper(), 6000.0 + number
        )
    return found


def test_a_picture_is_made_once_and_again_when_its_products_are(
    tmp_path: Path, layers: list[Product]
) -> None:
    def make(products: list[Product]) -> tuple[str, ...]:
        return tuple(one.status for one in make_pictures(products, products, tmp_path, Stopwatch()))  # type: ignore[arg-type]

    path = tmp_path / f"hst_{TILE}_acs_wfc_colour.png"
    assert make(layers) == ("made",)
    first = inputs_of(path)
    assert len(first) == 64
    assert np.ptp(np.asarray(Image.open(path)).astype(int), axis=-1).max() > 0  # it has colour
    assert make(layers) == ("unchanged",)
    assert make([layers[0], replace(layers[1], pixels_sha256="b" * 64)]) == ("made",)
    assert inputs_of(path) != first
    path.unlink()
    assert make(layers) == ("made",)
    path.write_bytes(path.read_bytes()[:1000])
    assert make(layers) == ("made",)
    assert [one.name for one in tmp_path.glob(".*")] == []


def test_an_obstacle_is_told_and_nothing_is_made(tmp_path: Path) -> None:
    other = replace(FIELD, cd=tuple(3.2 * value for value in FIELD.cd))
    products = [of_visit("UVIS", "f606w"), of_visit("IR", "f160w", other)]
    [result] = make_pictures(products, products, tmp_path, Stopwatch())  # type: ignore[arg-type]
    assert result.status == "none"
    assert "grid" in result.why
    assert not list(tmp_path.iterdir())
