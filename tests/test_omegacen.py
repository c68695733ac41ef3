"""WFPC2 on real stars: waiver files of omega Cen get a distorted WCS, and a known offset comes back.

The reference list is made of the exposure's own sources, moved by a known shift and roll, with errors.
"""

import shutil
from pathlib import Path

import numpy as np
import pytest
from astropy import units
from astropy.table import Table
from hapctl.archive.database import Catalog
from hapctl.processing.astrometry.content_hash import transformation_sha256
from hapctl.processing.astrometry.mapping import pixel_to_sky
from hapctl.processing.astrometry.plane import TangentPlane, sky_positions
from hapctl.processing.astrometry.reading import read_solutions
from hapctl.processing.astrometry.solution import WcsSolution
from hapctl.processing.pipeline.solution_store import solution_from_catalog
from numpy.typing import NDArray
from sqlalchemy import text
from support.commands import Runner
from support.data import data_file

SHIFT = np.array([1.2, -0.8])
ROLL_DEG = 0.02
LIST_ERROR_MAS = 3.0


@pytest.fixture
def updated(run_hapctl: Runner, tmp_path: Path) -> Path:
    """The waiver files made into one of extensions by `hapctl wcs update`, and ingested."""
    for name in ("u40x010hm_c0f.fits", "u40x010hm_c1f.fits", "sad1946fu_idc.fits", "s9518396u_off.fits"):
        shutil.copy(data_file(f"wfpc2_omegacen/{name}"), tmp_path)
    shutil.copy(data_file("wfpc2_omegacen/s8f1222cu_dxy.fits.gz"), tmp_path)
    raw = tmp_path / "u40x010hm_c0f.fits"
    before = run_hapctl("ingest", raw, "--json").json()["files"][0]
    assert "hapctl wcs update" in before["reason"]
    assert run_hapctl("align", "--visit", "u40x01", "--catalog", "none").exit_code == 65
    done = run_hapctl("wcs", "update", raw, "--output-dir", tmp_path / "updated")
    assert done.exit_code == 0, done.stderr
    assert run_hapctl("ingest", tmp_path / "updated").exit_code == 0
    return tmp_path / "updated" / "u40x010hm_flt.fits"


def moved(ra: NDArray[np.float64], dec: NDArray[np.float64], plane: TangentPlane) -> NDArray[np.float64]:
    """Where sky positions lie after the known movement, in the plane, arcsec."""
    cosine, sine = np.cos(np.radians(ROLL_DEG)), np.sin(np.radians(ROLL_DEG))
    places: NDArray[np.float64] = (
        plane.project_sky(ra, dec) @ np.array([[cosine, sine], [-sine, cosine]]) + SHIFT
    )
    return places


def reference_list(sources: Table, plane: TangentPlane, path: Path) -> None:
    """Write a third of the bright sources where the movement puts them, with random errors."""
    random = np.random.default_rng(1)
    chosen = sources[(sources["snr"] > 30) & (random.random(len(sources)) < 0.3)]
    places = moved(np.array(chosen["ra"]), np.array(chosen["dec"]), plane)
    places += random.normal(0.0, 1e-3 * LIST_ERROR_MAS, places.shape)
    ra, dec = sky_positions(plane.deproject(places))
    errors = np.full(len(ra), LIST_ERROR_MAS) * units.mas
    columns = {"ra": ra * units.deg, "dec": dec * units.deg, "ra_error": errors, "dec_error": errors}
    Table(columns | {"mag": np.array(chosen["magnitude"])}).write(path)


def test_a_known_offset_of_omega_centauri_comes_back(
    run_hapctl: Runner, catalog: Catalog, updated: Path, tmp_path: Path
) -> None:
    start = read_solutions(updated)[0].solution
    assert start.name == "IDC_sad1946fu"
    found = run_hapctl("find", updated, "--stars", "--output", tmp_path / "sources.ecsv")
    assert found.exit_code == 0, found.stderr
    sources = Table.read(tmp_path / "sources.ecsv")
    assert all(np.count_nonzero(sources["extver"] == chip) > 1000 for chip in (1, 2, 3, 4))
    plane = TangentPlane(float(np.mean(sources["ra"])), float(np.mean(sources["dec"])))
    reference_list(sources, plane, tmp_path / "moved.ecsv")
    result = run_hapctl("align", "--visit", "u40x01", "--catalog", f"file:{tmp_path}/moved.ecsv", "--json")
    assert result.exit_code == 0, result.stderr
    [exposure] = result.json()["visits"][0]["exposures"]
    assert exposure["wcsname"] == "IDC_sad1946fu-FIT_SVM_moved"
    assert exposure["nmatches"] > 400
    assert exposure["predicted_error_mas"] < 0.5
    new = in_force(catalog)
    for before, after in zip(start.chips, new.chips, strict=True):
        y, x = (axis.ravel() for axis in np.mgrid[50:800:6j, 50:800:6j])
        offsets = plane.project_sky(*pixel_to_sky(after, x, y)) - moved(*pixel_to_sky(before, x, y), plane)
        assert 1e3 * np.hypot(*offsets.T).max() < 1.5, f"chip {before.extver}"
    mirrored = Table.read(tmp_path / "moved.ecsv")
    mirrored["ra"] = 2 * plane.ra * units.deg - mirrored["ra"]
    mirrored.write(tmp_path / "mirrored.ecsv")
    refused = run_hapctl(
        "align", "--visit", "u40x01", "--catalog", f"file:{tmp_path}/mirrored.ecsv", "--json"
    )
    assert refused.exit_code == 1
    assert transformation_sha256(in_force(catalog)) == transformation_sha256(new)


def in_force(catalog: Catalog) -> WcsSolution:
    """The solution in force."""
    with catalog.begin() as connection:
        number = connection.execute(
            text(
                "SELECT a.solution_id FROM wcs_active a JOIN exposure e USING (exposure_id) "
                "WHERE e.rootname = 'u40x010hm' AND upper_inf(a.during)"
            )
        ).scalar_one()
        return solution_from_catalog(connection, number)
