"""WCSNAME: the grammar, the texts of WCSTYPE, the frames."""

import pytest
from hapctl.processing.astrometry.wcsname import (
    MODES,
    absolute_frame_of,
    fit_name,
    frame_of,
    parse_wcsname,
    wcstype_text,
)
from hypothesis import given
from hypothesis import strategies as st

ROOTS = st.from_regex(r"[0-9a-z]{8,9}", fullmatch=True)
CATALOGS = st.sampled_from(
    ["GAIAeDR3", "GAIAEDR3", "GAIADR3", "GAIADR2", "GSC242", "2MASS", "PS1DR2", "NONE"]
)
SUFFIXES = st.sampled_from(["", "_001", "_999"])


@given(ROOTS, st.sampled_from(MODES), CATALOGS, SUFFIXES)
def test_a_fit_is_parsed_and_composed_again(root: str, mode: str, catalog: str, suffix: str) -> None:
    parsed = parse_wcsname(f"IDC_{root}-FIT_{mode}_{catalog}{suffix}")
    assert (parsed.kind, parsed.base, parsed.idc_root) == ("fit", f"IDC_{root}", root)
    assert (parsed.mode, parsed.reference, parsed.suffix) == (mode, catalog, suffix)
    assert parsed.compose() == f"IDC_{root}-FIT_{mode}_{catalog}{suffix}"


@given(st.text())
def test_any_name_is_given_back(name: str) -> None:
    assert parse_wcsname(name).compose() == (name.strip() or "OPUS")


@pytest.mark.parametrize(
    ("name", "kind", "reference", "suffix"),
    [
        (None, "opus", None, ""),
        ("  ", "opus", None, ""),
        ("OPUS", "opus", None, ""),
        ("IDC_w3m18525i", "idc", None, ""),
        ("IDC_w3m18525i_001", "idc", None, "_001"),
        ("IDC_w3m18525i-GSC240", "a_priori", "GSC240", ""),
        ("IDC_w3m18525i-HSC30_002", "a_priori", "HSC30", "_002"),
        ("OPUS-GSC240", "a_priori", "GSC240", ""),
        ("TWEAK_A", "user", None, ""),
        ("ib4606c6q_flt_IDC_2731450pi-HSC30-hlet.fits", "user", None, ""),
        ("IDC_w3m18525i-FIT_XXX_GAIADR2", "user", None, ""),
        ("IDC_w3m18525i-FIT_SVM", "user", None, ""),
    ],
)
def test_kinds(name: str | None, kind: str, reference: str | None, suffix: str) -> None:
    parsed = parse_wcsname(name)
    assert (parsed.kind, parsed.reference, parsed.suffix) == (kind, reference, suffix)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("OPUS", "pipeline default not aligned"),
        ("IDC_w3m18525i", "undistorted not aligned"),
        ("IDC_w3m18525i-GSC240", "undistorted a priori solution based on GSC240"),
        ("IDC_w3m18525i-HSC30", "undistorted a priori solution based on HSC30"),
        (
            "IDC_w3m18525i-FIT_REL_GAIAeDR3",
            "undistorted a posteriori solution relatively aligned to GAIAEDR3",
        ),
        (
            "IDC_w3m18525i-FIT_IMG_GAIADR2",
            "undistorted a posteriori solution aligned image-by-image to GAIADR2",
        ),
        (
            "IDC_w3m18525i-FIT_EVM_GAIAeDR3",
            "undistorted a posteriori solution aligned by visit-exposures to GAIAEDR3",
        ),
        (
            "IDC_w3m18525i-FIT_SVM_GAIAeDR3",
            "undistorted a posteriori solution aligned by visit to GAIAEDR3",
        ),
        ("IDC_w3m18525i-FIT_SVM_NONE", "undistorted a posteriori solution aligned by visit to NONE"),
        (
            "IDC_w3m18525i-FIT_MVM_GAIAeDR3",
            "undistorted a posteriori solution aligned by multi-visit to GAIAEDR3",
        ),
        ("TWEAK", "user-defined"),
        (None, "not aligned"),
        ("", "not aligned"),
    ],
)
def test_wcstype(name: str | None, text: str) -> None:
    assert wcstype_text(name) == text


@pytest.mark.parametrize(
    ("catalog", "frame"),
    [
        ("GAIADR3", "GAIA-CRF3"),
        ("GAIAeDR3", "GAIA-CRF3"),
        ("GAIAEDR3", "GAIA-CRF3"),
        ("GAIADR2", "GAIA-DR2"),
        ("GAIADR1", "GAIA-DR1"),
        ("GSC242", None),
        ("2MASS", None),
        ("NONE", None),
    ],
)
def test_frames_of_fits(catalog: str, frame: str | None) -> None:
    name = fit_name("0461802ej", "SVM", catalog)
    assert absolute_frame_of(name) == frame
    assert frame_of(name, "group 7") == (frame or "group 7")


@pytest.mark.parametrize("name", [None, "OPUS", "IDC_x", "IDC_x-GSC240", "IDC_x-HSC30", "TWEAK_GAIADR3"])
def test_what_is_no_fit_has_no_absolute_frame(name: str | None) -> None:
    assert absolute_frame_of(name) is None
