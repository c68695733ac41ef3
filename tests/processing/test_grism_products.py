"""Grism products of a real visit: WFC3/IR in GOODS-S, direct images and one exposure through G102."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS
from hapctl.archive.database import Catalog
from hapctl.archive.products import grism_exposures
from hapctl.archive.runs import recorded_run
from hapctl.archive.solutions import activate
from hapctl.processing.astrometry.headerlet import read_headerlet
from hapctl.processing.astrometry.reading import read_solutions
from hapctl.processing.astrometry.wcs_writing import same_linear
from hapctl.processing.pipeline.solution_store import NewSolution, record_solutions
from support.commands import Runner
from support.data import data_file
from support.mosaics import active_solution, realign, rows, stale_names

GRISM, DIRECT = "ib6o21qmq", ("ib6o21qnq", "ib6o21qqq")
NAME = "hst_11359_21_wfc3_ir_g102_ib6o21qm_flt.fits"
HEADERLET = "hst_11359_21_wfc3_ir_g102_ib6o21qm_hlet.fits"
GSC, IDC = "IDC_w3m18525i-GSC240", "IDC_w3m18525i"


def file_of(rootname: str) -> Path:
    return data_file(f"wfc3ir_goodss/{rootname}_flt.fits.gz")


@pytest.fixture
def hapctl(run_hapctl: Runner) -> Runner:
    result = run_hapctl("ingest", *map(file_of, (*DIRECT, GRISM)))
    assert result.exit_code == 0, result.stderr
    return run_hapctl


def mosaic(run: Runner, *arguments: object) -> dict[str, dict]:  # type: ignore[type-arg]
    result = run("mosaic", "--visit", "ib6o21", *arguments, "--json")
    assert result.exit_code == 0, result.stderr
    return {product["name"]: product for product in result.json()["products"]}


def put_in_force(catalog: Catalog, rootname: str, name: str, shift_mas: float) -> None:
    """As an alignment does with a grism exposure: its solution, moved, under another name."""
    before = active_solution(catalog, rootname)
    chips = tuple(replace(c, crval=(c.crval[0], c.crval[1] + shift_mas / 3.6e6)) for c in before.chips)
    with recorded_run(catalog, "align", {}) as run, catalog.begin() as connection:
        (new,) = record_solutions(
            connection, run.id, rootname, [NewSolution(replace(before, name=name, chips=chips))]
        )
        ((exposure_id,),) = rows(
            catalog, "SELECT exposure_id FROM exposure WHERE rootname = :of", of=rootname
        )
        activate(connection, run.id, {exposure_id: new.solution_id}, "a test moved it")


def test_a_grism_exposure_is_a_product_with_the_wcs_in_force(hapctl: Runner, catalog: Catalog) -> None:
    made = mosaic(hapctl)
    one = made[NAME]
    assert (one["kind"], one["status"], one["nx"], one["ny"], one["preview"]) == (
        "grism",
        "made",
        1014,
        1014,
        None,
    )
    check_files(Path(one["path"]), catalog)
    assert rows(
        catalog,
        "SELECT nx, ny, grid, mask_id FROM product JOIN product_input USING (product_id)"
        " WHERE kind = 'grism'",
    ) == [(1014, 1014, {}, None)]
    assert stale_names(catalog) == set()
    sums = {name: product["pixels_sha256"] for name, product in made.items()}
    again = mosaic(hapctl)
    assert again[NAME]["status"] == "unchanged"
    rebuilt = hapctl("product", "rebuild", NAME, "--json")
    assert rebuilt.exit_code == 0, rebuilt.stderr
    assert rebuilt.json()["pixels_sha256"] == sums[NAME]
    put_in_force(catalog, GRISM, "OPUS-FIT_SVM_GAIADR3", 80.0)
    realign(catalog, dict.fromkeys(DIRECT, 80.0), "IDC_w3m18525i-FIT_SVM_GAIADR3")
    assert NAME in stale_names(catalog)
    moved = mosaic(hapctl)
    assert moved[NAME]["why"][0] == f"{GRISM}: another WCS solution is that of its direct images"
    assert moved[NAME]["pixels_sha256"] == sums[NAME]  # of its pixels not one changed
    check_files(Path(one["path"]), catalog, "OPUS-FIT_SVM_GAIADR3")
    assert stale_names(catalog) == set()


@pytest.mark.filterwarnings("error::astropy.io.fits.verify.VerifyWarning")
def check_files(path: Path, catalog: Catalog, name: str = "OPUS") -> None:
    """The copy has the pixels of the exposure and the solution in force, as astropy sees it, too."""
    solution = active_solution(catalog, GRISM)
    assert solution.name == name
    with fits.open(path, checksum=True) as hdus, fits.open(file_of(GRISM)) as before:
        hdus.verify("exception")
        assert all({"CHECKSUM", "DATASUM"} <= set(hdu.header) for hdu in hdus)
        for layer in ("SCI", "ERR", "DQ"):
            assert np.array_equal(hdus[layer].data, before[layer].data)
        top = hdus[0].header
        assert (top["FILENAME"], top["ROOTNAME"], top["IPPPSSOO"]) == (path.name, GRISM, GRISM[:8])
        assert (top["HAPLEVEL"], top["WCSPOLCY"], top["DATE"]) == (1, "strict", before[0].header["DATE"])
        chip = solution.chips[0]
        astropy_wcs = WCS(hdus["SCI"].header)
        np.testing.assert_allclose(astropy_wcs.wcs.crval, chip.crval, rtol=0, atol=1e-12)
        assert (astropy_wcs.sip is None) == (chip.sip_a is None)
    assert same_linear(read_solutions(path)[0].solution, solution)
    assert same_linear(read_headerlet(path.with_name(HEADERLET)), solution)


def record(catalog: Catalog, rootname: str, *names: str) -> None:
    """More solutions of an exposure, none of them in force."""
    before = active_solution(catalog, rootname)
    chips = tuple(replace(chip, crval=(chip.crval[0] + 1e-4, chip.crval[1])) for chip in before.chips)
    news = [NewSolution(replace(before, name=name, chips=chips)) for name in names]
    with recorded_run(catalog, "ingest", {}) as run, catalog.begin() as connection:
        record_solutions(connection, run.id, rootname, news)


def chosen(catalog: Catalog) -> str:
    with catalog.begin() as connection:
        (one,) = grism_exposures(connection, "ib6o21")
    return one.wcsname


def test_frames_that_differ_are_reconciled_by_the_best_common_solution(
    hapctl: Runner, catalog: Catalog
) -> None:
    """HAP's order: the model on GSC 2.4.0, then the model alone; nothing in common: that in force."""
    record(catalog, GRISM, GSC, IDC)
    assert chosen(catalog) == "OPUS"  # one frame with the direct images: nothing to reconcile
    realign(catalog, dict.fromkeys(DIRECT, 50.0), "IDC_w3m18525i-FIT_SVM_GAIADR3")
    assert chosen(catalog) == IDC
    record(catalog, DIRECT[0], GSC)
    assert chosen(catalog) == IDC  # not all direct images have it
    record(catalog, DIRECT[1], GSC)
    assert chosen(catalog) == GSC
    put_in_force(catalog, GRISM, "OPUS-FIT_SVM_GAIADR3", 50.0)
    assert chosen(catalog) == "OPUS-FIT_SVM_GAIADR3"


def test_a_policy_of_absolute_frames_leaves_out_a_grism_without_one(hapctl: Runner, catalog: Catalog) -> None:
    realign(catalog, dict.fromkeys(DIRECT, 50.0), "IDC_w3m18525i-FIT_SVM_GAIADR3")
    planned = mosaic(hapctl, "--wcs-policy", "absolute", "--dry-run")
    assert {one["kind"] for one in planned.values()} >= {"exposure", "filter", "total"}
    assert NAME not in planned
