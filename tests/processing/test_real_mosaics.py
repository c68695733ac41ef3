"""The real 47 Tuc and GOODS-S exposures through the whole chain of products."""

from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from hapctl.archive.database import Catalog
from support.commands import Runner
from support.data import data_file
from support.mosaics import rows, stale_names

TUC = ("j8bt05njq", "j8bt06nyq", "j8bt06o6q", "j8bt09jcq")
GOODS = ("ib6o23rtq", "ib6o23rwq", "ib6o23rsq")


@pytest.fixture
def tuc(run_hapctl: Runner) -> Runner:
    files = [data_file(f"hrc_47tuc/{rootname}_flt.fits") for rootname in TUC]
    assert run_hapctl("ingest", *files).exit_code == 0
    return run_hapctl


def test_47_tuc(tuc: Runner, catalog: Catalog) -> None:
    visit = tuc("mosaic", "--visit", "j8bt06", "--json").json()["products"]
    assert [product["name"] for product in visit] == [
        "hst_9019_06_acs_hrc_f606w_j8bt06ny_drz.fits",
        "hst_9019_06_acs_hrc_f606w_j8bt06o6_drz.fits",
        "hst_9019_06_acs_hrc_f606w_j8bt06_drz.fits",
        "hst_9019_06_acs_hrc_total_j8bt06_drz.fits",
    ]
    photometry = [fits.getheader(product["path"], "SCI").get("PHOTFLAM") for product in visit]
    assert photometry == [pytest.approx(1.2781042e-19), None, None, None]  # o6q has PHOTFLAM = 0
    with fits.open(visit[2]["path"]) as hdus:
        both = hdus["CTX"].data == 3
        assert both.any()
        assert hdus["WHT"].data[both].max() < 1.4 * 120.0
        assert np.median(hdus["SCI"].data[both]) > 0.0  # the sky is taken off, the cluster is not

    tile = "skycell-p0046x03y19"
    refused = tuc("mosaic", "--tile", tile, "--json")
    assert refused.exit_code == 1
    assert "3 frames" in refused.json()["error"]["message"]
    layers = tuc("mosaic", "--tile", tile, "--wcs-policy", "any", "--json").json()["products"]
    assert [layer["filter"] for layer in layers] == ["f330w", "f555w", "f606w"]
    assert fits.getheader(layers[2]["path"])["WCSPOLCY"] == "any"
    assert stale_names(catalog) == set()


def test_goods_south_has_coarse_and_fine_layers(run_hapctl: Runner, catalog: Catalog) -> None:
    files = [data_file(f"wfc3ir_goodss/{rootname}_flt.fits.gz") for rootname in GOODS]
    assert run_hapctl("ingest", *files).exit_code == 0
    ((tile,),) = rows(
        catalog,
        "SELECT c.name FROM sky_cell c JOIN solution_sky_cell t USING (sky_cell_id) JOIN eligible_exposure q"
        " USING (solution_id) GROUP BY 1 ORDER BY sum(t.fraction) DESC, 1 LIMIT 1",
    )
    layers = run_hapctl("mosaic", "--tile", tile, "--json").json()["products"]
    names = [f"hst_{tile}_wfc3_ir_f140w_{label}_drz.fits" for label in ("coarse-all", "all")]
    assert [layer["name"] for layer in layers] == names
    coarse, fine = (Path(layer["path"]) for layer in layers)
    for layer in layers:
        assert layer["exposures"] == ["ib6o23rtq", "ib6o23rwq"]
        assert [one["code"] for one in layer["left_out"]] == []
    assert fits.getheader(coarse, "SCI")["CD2_2"] == pytest.approx(0.12 / 3600)
    assert fits.getheader(fine, "SCI")["CD2_2"] == pytest.approx(0.04 / 3600)
    total_coarse, total_fine = (np.nansum(fits.getdata(path, "SCI"), dtype=float) for path in (coarse, fine))
    assert total_fine == pytest.approx(total_coarse, rel=0.02)  # the same light on finer pixels
