"""HAP names of products."""

import pytest
from hapctl.processing.imaging.product_names import (
    exposure_product_name,
    filter_label,
    filter_product_name,
    layer_name,
    layer_scales,
    product_suffix,
    total_product_name,
)


def test_names_of_a_visit() -> None:
    assert (
        exposure_product_name(12286, "jbl70rtvq", "ACS", "WFC", "F775W", "drc")
        == "hst_12286_0r_acs_wfc_f775w_jbl70rtv_drc.fits"
    )
    assert (
        filter_product_name(12939, "iby001", "WFC3", "UVIS", "f336w", "drc")
        == "hst_12939_01_wfc3_uvis_f336w_iby001_drc.fits"
    )
    assert (
        total_product_name(6941, "u40x01", "WFPC2", "PC", "drz")
        == "hst_6941_01_wfpc2_pc_total_u40x01_drz.fits"
    )


def test_names_of_layers() -> None:
    cell = "skycell-p1749x18y06"
    assert (
        layer_name(cell, "WFC3", "UVIS", "F658N", "drc")
        == "hst_skycell-p1749x18y06_wfc3_uvis_f658n_all_drc.fits"
    )
    assert layer_name(cell, "WFC3", "IR", "F105W", "drz", True).endswith("_f105w_coarse-all_drz.fits")
    assert layer_scales("WFC3", "IR") == (True, False)
    assert layer_scales("WFPC2", "PC") == (True, False)
    assert layer_scales("ACS", "WFC") == (False,)


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("F606W;CLEAR2L", "f606w"),
        ("CLEAR1L;F814W", "f814w"),
        ("POL0V;F606W", "f606w-pol0v"),
        ("F550M;F606W", "f550m-f606w"),
        ("CLEAR1L;CLEAR2L", "clear"),
        ("f606w-pol60v", "f606w-pol60v"),
    ],
)
def test_filters(name: str, label: str) -> None:
    assert filter_label(name) == label


def test_cte_corrected_only_if_all_are() -> None:
    assert product_suffix(["a_flc.fits", "b_flc.fits.gz"]) == "drc"
    assert product_suffix(["a_flc.fits", "b_flt.fits"]) == "drz"
    assert product_suffix([]) == "drz"
