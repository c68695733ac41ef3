"""`hapctl hips` on layers in the catalog: made, found current, made again, refused with the remedy."""

import json
from pathlib import Path

import numpy as np
import pytest
from hapctl.archive.database import Catalog
from hapctl.archive.sky_cells import cells_containing
from hapctl.processing.imaging.hips_page import ALADIN, SurveyFacts, page_text, read_properties
from mocpy import MOC
from support.catalog_rows import Rows
from support.commands import Runner
from support.layer_files import FIELD, layer_file, starry
from support.mosaics import rows

GRID = FIELD.cut(100, 200, 100, 200)
TILE = cells_containing(*FIELD.crval)[0]
# HiPS 1.0, table 5: what every properties file must hold
REQUIRED = {
    *("creator_did", "obs_title", "dataproduct_type", "hips_version", "hips_release_date", "hips_status"),
    *("hips_tile_format", "hips_order", "hips_tile_width", "hips_frame"),
}
TOLD = {
    *("obs_collection", "hips_initial_ra", "hips_initial_dec", "hips_initial_fov", "moc_sky_fraction"),
    *(
        "hips_pixel_scale",
        "hips_estsize",
        "prov_progenitor",
        "em_min",
        "em_max",
        "t_min",
        "t_max",
        "obs_regime",
    ),
}


def add_layer(catalog: Catalog, path: Path, filter_name: str) -> None:
    """Put a layer in force; its tile has a row already, or gets one."""
    with catalog.begin() as connection:
        table = Rows(connection)
        for name in ("run", "policy"):
            table.add(name)
        known = connection.exec_driver_sql(
            "SELECT sky_cell_id FROM sky_cell WHERE name = %s", (TILE.name,)
        ).scalar()
        if known is None:
            table.add("projection_cell", projection_cell=TILE.projection_cell.number)
            known = table.add("sky_cell", sky_cell_id=TILE.cell_id, name=TILE.name, x=TILE.x, y=TILE.y)[
                "sky_cell_id"
            ]
        table.add("product_key", folder=str(path.parent), name=path.name)
        table.add(
            "product",
            **{"name": path.name, "kind": "layer", "visit": None, "sky_cell_id": known},
            **{"instrument": "ACS", "detector": "WFC", "filter": filter_name.lower(), "pixel_scale": 0.4},
        )
        table.add("product_current")


def test_layers_become_surveys_a_colour_and_a_page(
    run_hapctl: Runner, catalog: Catalog, tmp_path: Path
) -> None:
    names = {"F606W": 5921.0, "F814W": 8045.0}
    files = {}
    for number, (name, wavelength) in enumerate(names.items()):
        files[name] = tmp_path / f"hst_{TILE.name}_acs_wfc_{name.lower()}_all_drc.fits"
        layer_file(files[name], starry(GRID, seed=number), GRID, name, wavelength)
        add_layer(catalog, files[name], name)
    output = tmp_path / "survey"
    arguments = ("hips", TILE.name, "--output", output)
    done = run_hapctl(*arguments, "--json")
    assert done.exit_code == 0, done.stderr
    made = {survey["name"]: survey for survey in done.json()["surveys"]}
    assert list(made) == ["acs_wfc_f606w", "acs_wfc_f814w", "colour"]  # by wavelength
    assert {survey["status"] for survey in made.values()} == {"made"}
    assert {survey["order"] for survey in made.values()} == {11}
    for name in made:
        told = read_properties(output / name)
        assert set(told) >= REQUIRED | TOLD, name
        moc = MOC.from_fits(str(output / name / "Moc.fits"))
        assert float(told["moc_sky_fraction"]) == pytest.approx(moc.sky_fraction, rel=1e-5)
        assert float(told["hips_initial_ra"]) == pytest.approx(150.0, abs=1e-3)
    assert read_properties(output / "acs_wfc_f606w")["hips_tile_format"] == "png fits"
    assert read_properties(output / "colour")["dataproduct_subtype"] == "color"
    page = (output / "index.html").read_text()
    assert ALADIN in page
    assert page.index('value="colour"') < page.index('value="acs_wfc_f814w"')
    question = "SELECT r.command, e.summary FROM run r JOIN run_end e USING (run_id) WHERE r.command = 'hips'"
    runs = rows(catalog, question)
    assert [len(summary["hips"]) for _, summary in runs] == [3]

    before = {path: path.stat().st_mtime_ns for path in output.rglob("Npix*")}
    again = run_hapctl(*arguments, "--filter", "F606W", "--aladin", "aladin.js")
    assert again.exit_code == 0, again.stderr
    assert "unchanged" in again.stdout
    assert {path: path.stat().st_mtime_ns for path in output.rglob("Npix*")} == before
    assert 'src="aladin.js"' in (output / "index.html").read_text()

    other = tmp_path / "changed" / files["F606W"].name
    other.parent.mkdir()
    add_layer(catalog, layer_file(other, starry(GRID, seed=9), GRID, "F606W", 5921.0), "F606W")
    changed = run_hapctl(*arguments, "--filter", "f606w", "--json").json()["surveys"]
    assert [survey["status"] for survey in changed] == ["made"]  # the newest layer is what is shown
    assert not list(output.glob(".*"))


def test_refusals_name_the_remedy(run_hapctl: Runner, catalog: Catalog, tmp_path: Path) -> None:
    def error(*arguments: object) -> tuple[int, str]:
        done = run_hapctl("hips", *arguments, "--json")
        told = json.loads(done.stdout)["error"]
        return done.exit_code, f"{told['message']}; {told['remedy']}"

    output = ("--output", tmp_path / "out")
    code, text = error("skycell-p9999x01y01", *output)
    assert code == 3, text
    code, text = error(TILE.name, *output)
    assert code == 3
    assert "hapctl mosaic --tile" in text
    path = tmp_path / f"hst_{TILE.name}_acs_wfc_f606w_all_drc.fits"
    add_layer(catalog, path, "F606W")
    code, text = error(TILE.name, *output)
    assert code == 3
    assert str(path) in text
    layer_file(path, starry(GRID), GRID, "F606W", 5921.0)
    code, text = error(TILE.name, "--filter", "F814W", *output)
    assert code == 3
    assert "F814W" in text
    in_the_way = tmp_path / "out" / "acs_wfc_f606w"
    in_the_way.mkdir(parents=True)
    (in_the_way / "notes.txt").write_text("mine")
    code, text = error(TILE.name, *output)
    assert code == 1
    assert "in the way" in text
    assert (in_the_way / "notes.txt").read_text() == "mine"
    empty = np.full(GRID.shape, np.nan)
    path.unlink()
    layer_file(path, empty, GRID, "F606W", 5921.0)
    with pytest.warns(UserWarning, match="No tiles"):
        code, text = error(TILE.name, "--output", tmp_path / "other")
    assert code == 2
    assert not list((tmp_path / "other").iterdir())  # nothing half-made


def test_names_in_the_page_are_text() -> None:
    facts = SurveyFacts(
        *("ivo://x", "t", "c", "d", "i", "f"),
        **{
            "progenitors": (),
            "order": 3,
            "formats": "png",
            "released": "",
            "centre": (1.0, -2.0),
            "field": 0.1,
        },
        **{
            "sky_fraction": 0.0,
            "pixel_scale": 1e-5,
            "levels": (),
            "wavelengths": (),
            "times": (),
            "bytes": 1,
        },
        **{"inputs": "", "software": ""},
    )
    page = page_text("<b>&", {"</script>": "<i>"}, facts, '"><x')
    assert "<b>" not in page
    assert "<i>" not in page
    assert "<x" not in page
    assert page.count("</script>") == 2
    assert "1.000000 -2.000000" in page
