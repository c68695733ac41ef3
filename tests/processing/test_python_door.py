"""What can be imported from hapctl.processing.imaging, and the map it shows."""

import ast
import subprocess
import sys
from dataclasses import replace
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
from drizzle.resample import Drizzle
from hapctl.processing import imaging
from hapctl.processing.astrometry.solution import WcsSolution
from hapctl.processing.errors import UsageProblemError
from hapctl.processing.imaging import pixmap
from hapctl.processing.imaging.drizzle import DrizzleInput, drizzle_image
from hapctl.processing.imaging.grid import map_to_grid, north_up_grid
from support.prepared_chips import prepared_chip
from support.synthetic_chips import distorted_chip, plain_chip


@pytest.mark.parametrize("name", imaging.__all__)
def test_every_name_is_there(name: str) -> None:
    assert getattr(imaging, name).__name__ == name
    assert name in dir(imaging)
    # a module of the same name would take its place once imported
    assert not Path(imaging.__file__).with_name(f"{name}.py").exists()


def test_type_checkers_see_the_same_names() -> None:
    tree = ast.parse(Path(imaging.__file__).read_text())
    seen = {
        (node.module.rsplit(".", 1)[1], alias.name)
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith(imaging.__name__)
        for alias in node.names
    }
    assert seen == {(module, name) for module, names in imaging._MODULES.items() for name in names}
    assert {name for _, name in seen} == set(imaging.__all__)


def test_no_other_names() -> None:
    with pytest.raises(AttributeError, match="no_such_thing"):
        import_module("hapctl.processing.imaging").no_such_thing  # noqa: B018


def test_importing_loads_nothing() -> None:
    code = "import sys, hapctl.processing.imaging; print({'numpy', 'astropy', 'scipy'} & set(sys.modules))"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "set()"


def test_the_map_is_that_of_the_pixels(tmp_path: Path) -> None:
    chip = distorted_chip((60, 80))
    grid = north_up_grid([chip], 0.04)
    found = pixmap(chip, grid)
    assert (found.shape, found.dtype) == ((60, 80, 2), np.float64)
    x, y = map_to_grid(chip, grid, 17.0, 42.0)
    assert found[42, 17].tolist() == [float(x), float(y)]
    prepared = prepared_chip(tmp_path, np.zeros(chip.shape), wcs=chip)
    assert np.array_equal(pixmap(prepared, grid), found)


def test_a_chip_of_a_solution_is_named() -> None:
    chips = (plain_chip(), replace(plain_chip(), extver=2, crpix=(3.0, 4.0)))
    solution = WcsSolution("j8bt06nyq", "IDC_n721640fj", chips, {})
    grid = north_up_grid(chips, 0.05)
    assert np.array_equal(pixmap(solution, grid, extver=2), pixmap(chips[1], grid))
    assert np.array_equal(pixmap(replace(solution, chips=chips[:1]), grid), pixmap(chips[0], grid))
    for extver in (None, 3):
        with pytest.raises(UsageProblemError, match="1, 2"):
            pixmap(solution, grid, extver=extver)


def test_drizzle_takes_the_map() -> None:
    """The same map through the reference implementation gives the same image."""
    chip = distorted_chip((70, 90))
    grid = north_up_grid([chip], 0.05)
    rng = np.random.default_rng(1)
    image = rng.normal(10.0, 3.0, chip.shape).astype(np.float32)
    weight = np.full(chip.shape, 60.0, np.float32)
    other = Drizzle(kernel="square", out_shape=grid.shape, fillval=0.0)
    other.add_image(image, exptime=1.0, pixmap=pixmap(chip, grid), weight_map=weight, in_units="cps")
    ours = drizzle_image([DrizzleInput(chip, lambda a, b: (image[a:b], weight[a:b]))], grid, fill_value=0.0)
    # theirs takes corners halfway between centres of the map, ours maps them; so edges are left out
    inside = (slice(8, -8), slice(8, -8))
    full = (other.out_wht > 59) & (ours.wht > 59)
    assert full[inside].sum() > 1000
    assert np.median(np.abs(ours.sci - other.out_img)[full]) < 0.01
