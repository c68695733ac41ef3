"""Rows that offend one CHECK of the schema each."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from support.catalog_rows import EPOCH, SHA, Row

DAY = timedelta(days=1)
Case = tuple[str, str, Row]


def each(bad: Any, suffix: str = "check", **columns: str) -> Iterator[Case]:
    """Yield a case for each column of each table, whose CHECK is named after both."""
    for table, names in columns.items():
        for name in names.split():
            yield f"{table}_{name}_{suffix}", table, {name: bad}


def sip(order: int, a: int, b: int) -> Row:
    return {"sip_order": order, "sip_a": [0.0] * a, "sip_b": [0.0] * b}


def fit(mode: str, wcsname: str) -> Row:
    return {"kind": "fit", "mode": mode, "catalog": "NONE", "wcsname": wcsname}


UNNAMED: Row = {"kind": "user", "base": None, "idc_root": None, "wcsname": ""}

IN_CATALOG = dict.fromkeys(
    ("catalog_ra", "catalog_dec", "catalog_residual_ra_mas", "catalog_residual_dec_mas"), 1.0
)
CHECKS: list[Case] = [
    *each(
        SHA.upper(),
        run="parameters_sha256",
        exposure_file="sha256",
        distortion_model="sha256",
        lookup_table="sha256",
        alignment_group="inputs_sha256",
        alignment_attempt="inputs_sha256",
        wcs_solution="transformation_sha256",
        reference_query="answer_sha256",
        exposure_mask="inputs_sha256 parameters_sha256 sha256",
        product="inputs_sha256 parameters_sha256 pixels_sha256",
        product_file="sha256",
        file_change="before_sha256 after_sha256",
    ),
    *each(
        "",
        run="command",
        policy="name",
        exposure="detector filter",
        exposure_withdrawal="reason",
        file_location="path",
        wcs_solution="frame problem",
        wcs_active="reason frame",
        reference_query="release",
        alignment_attempt="code reason",
        exposure_mask="path",
        product_key="folder name",
        product="name",
        product_exclusion="code reason",
        product_file="path",
        file_change="path description",
        alignment_group="scope_name",
    ),
    *each(
        "nonsense",
        run_end="outcome",
        policy="kind",
        policy_active="kind",
        visit="instrument",
        exposure="instrument",
        alignment_group="kind scope",
        wcs_location="place",
        wcs_active="origin",
        reference_query="source",
        alignment_attempt="method geometry outcome",
        product="kind wcs_policy",
        product_file="kind",
        product_file_check="state",
    ),
    *each(
        0,
        policy="version",
        proposal="proposal_id",
        exposure_file="size_bytes",
        file_location="size_bytes",
        chip="extver chip nx ny",
        lookup_table="nx ny",
        distortion_model="idcscale",
        wcs_chip="extver chip nx ny",
        sky_cell="x y",
        solution_sky_cell="fraction",
        star_match="star extver",
        alignment_attempt="ladder_step",
        exposure_mask="size_bytes",
        product="pixel_scale nx ny",
        product_file="size_bytes",
    ),
    *each(
        -1,
        run_end="peak_memory_bytes",
        exposure="exposure_time ra_target",
        exposure_file="headerlets",
        wcs_solution="nmatches rms_ra_mas rms_dec_mas",
        projection_cell="projection_cell ra",
        reference_query="n_rows",
        reference_source="healpix ra ra_error dec_error parallax_error pmra_error pmdec_error",
        alignment_attempt="n_detected n_reference nmatches covered_fraction",
        star_match="error_mas weight group_star",
        alignment_group="part",
        alignment_member="predicted_error_mas common_floor_mas",
        exposure_mask="n_flagged",
    ),
    *each(360, exposure="ra_target", projection_cell="ra", reference_source="ra"),
    *each(-90.1, exposure="dec_target", projection_cell="dec", reference_source="dec"),
    *each(90.1, exposure="dec_target", projection_cell="dec", reference_source="dec"),
    ("run_end_exit_code_check", "run_end", {"exit_code": 256, "outcome": "failed"}),
    ("file_change_path_check", "file_change", {"path": "relative/path"}),
    ("file_change_undo_check", "file_change", {"undo": b""}),
    ("file_change_check", "file_change", {"before_sha256": SHA, "after_sha256": SHA}),
    ("file_change_undone_outcome_check", "file_change_undone", {"outcome": "maybe"}),
    ("run_end_check", "run_end", {"exit_code": 1}),
    ("run_end_check", "run_end", {"outcome": "failed"}),
    ("visit_visit_check", "visit", {"visit": "J8BT09"}),
    ("visit_visit_check", "visit", {"visit": "j8bt0"}),
    ("exposure_rootname_check", "exposure", {"rootname": "j8bt09JCQ"}),
    ("exposure_rootname_check", "exposure", {"rootname": "j8bt09jcqs"}),
    ("exposure_check", "exposure", {"rootname": "j8bt06jcq"}),
    ("exposure_check1", "exposure", {"t_start": EPOCH + DAY, "t_end": EPOCH + DAY}),
    ("exposure_check1", "exposure", {"t_start": EPOCH - DAY, "t_end": EPOCH - DAY}),
    ("exposure_check2", "exposure", {"exclusion_code": "grism"}),
    ("exposure_check2", "exposure", {"exclusion_reason": "a grism"}),
    ("exposure_filter_check", "exposure", {"filter": "F606W"}),
    ("exposure_file_suffix_check", "exposure_file", {"suffix": "flt2"}),
    ("archive_root_path_path_check", "archive_root_path", {"path": "relative/path"}),
    ("file_location_path_check", "file_location", {"path": "/absolute"}),
    ("file_location_path_check", "file_location", {"path": "up/../../out"}),
    ("file_location_path_check", "file_location", {"path": ".."}),
    ("lookup_table_check", "lookup_table", {"nodes": bytes(5)}),
    (
        "distortion_model_sip_order_check",
        "distortion_model",
        {"sip_order": 10, "sip_a": [0.0] * 121, "sip_b": [0.0] * 121},
    ),
    ("distortion_model_check", "distortion_model", sip(2, 8, 8)),
    ("distortion_model_check1", "distortion_model", sip(2, 9, 8)),
    ("distortion_model_check2", "distortion_model", {"sip_order": 2}),
    ("alignment_group_check", "alignment_group", {"catalog": None}),
    ("alignment_group_check", "alignment_group", {"kind": "relative"}),
    ("alignment_group_check1", "alignment_group", {"visit": None}),
    ("alignment_group_check1", "alignment_group", {"scope": "tile"}),
    ("alignment_member_centre_check", "alignment_member", {"centre": [0.0] * 3}),
    ("alignment_member_correction_check", "alignment_member", {"correction": [0.0] * 4}),
    ("alignment_member_covariance_check", "alignment_member", {"covariance": [0.0] * 16}),
    ("alignment_member_numbers_check", "alignment_member", {"centre": [0.0, None]}),
    ("alignment_member_numbers_check", "alignment_member", {"correction": [0.0] * 5 + [float("nan")]}),
    ("alignment_member_numbers_check", "alignment_member", {"covariance": [float("inf")] * 36}),
    ("alignment_member_numbers_check", "alignment_member", {"covariance": [float("-inf")] * 36}),
    ("alignment_attempt_ladder_check", "alignment_attempt", {"ladder_step": 1}),
    ("star_match_catalog_weight_check", "star_match", {**IN_CATALOG, "catalog_weight": 1.1}),
    ("star_match_check", "star_match", {"catalog_weight": 0.5}),
    ("star_match_catalog_check", "star_match", {"catalog_ra": 1.0, "catalog_dec": 1.0}),
    ("wcs_solution_check", "wcs_solution", {"mode": "SVM"}),
    ("wcs_solution_check1", "wcs_solution", {"catalog": "GAIADR3"}),
    ("wcs_solution_check2", "wcs_solution", {"kind": "user"}),
    ("wcs_solution_check3", "wcs_solution", {"headerlet": b"x"}),
    ("wcs_solution_check3", "wcs_solution", {"headerlet_sha256": SHA}),
    ("wcs_solution_check4", "wcs_solution", {"kind": "opus"}),
    ("wcs_solution_check5", "wcs_solution", {"idc_root": "other"}),
    ("wcs_solution_check6", "wcs_solution", {"wcsname": "IDC_other"}),
    (
        "wcs_solution_check6",
        "wcs_solution",
        {"kind": "fit", "mode": "SVM", "catalog": "NONE", "wcsname": "IDC_abc-FIT_IMG_NONE"},
    ),
    (
        "wcs_solution_check6",
        "wcs_solution",
        {"kind": "a_priori", "catalog": "GSC240", "wcsname": "IDC_abc-GSC"},
    ),
    ("wcs_solution_headerlet_sha256_check", "wcs_solution", {"headerlet": b"x", "headerlet_sha256": "x"}),
    ("wcs_solution_kind_check", "wcs_solution", {"kind": "nonsense"}),
    (
        "wcs_solution_mode_check",
        "wcs_solution",
        {"kind": "fit", "mode": "XXX", "catalog": "NONE", "wcsname": "IDC_abc-FIT_XXX_NONE"},
    ),
    (
        "wcs_solution_wcsname_check",
        "wcs_solution",
        {"kind": "user", "base": None, "idc_root": None, "wcsname": ""},
    ),
    ("wcs_chip_polygon_check", "wcs_chip", {"polygon": [0.0, 0.0, 1.0, 0.0]}),
    ("wcs_chip_polygon_check", "wcs_chip", {"polygon": [0.0] * 7}),
    ("wcs_location_check", "wcs_location", {"place": "primary"}),
    ("projection_cell_projection_cell_check", "projection_cell", {"projection_cell": 2644}),
    ("sky_cell_check", "sky_cell", {"sky_cell_id": 5}),
    ("sky_cell_check1", "sky_cell", {"name": "skycell-p1889x19y07"}),
    ("solution_sky_cell_fraction_check", "solution_sky_cell", {"fraction": 1.1}),
    ("reference_source_check", "reference_source", {"pmra": 1.0}),
    ("reference_source_correlations_check", "reference_source", {"correlations": [0.0] * 9}),
    ("alignment_attempt_covered_fraction_check", "alignment_attempt", {"covered_fraction": 1.1}),
    ("alignment_attempt_check", "alignment_attempt", {"method": "relative"}),
    ("alignment_attempt_check1", "alignment_attempt", {"outcome": "accepted"}),
    ("product_key_name_check", "product_key", {"name": "a/b.fits"}),
    ("product_check", "product", {"kind": "layer", "visit": None}),
    ("product_check1", "product", {"kind": "total", "visit": None}),
]
# A change of one column may offend two rules; the server names the first by the alphabet.
ALSO = {
    "sky_cell_x_check": "sky_cell_check",
    "sky_cell_y_check": "sky_cell_check",
    "lookup_table_nx_check": "lookup_table_check",
    "lookup_table_ny_check": "lookup_table_check",
    "wcs_location_place_check": "wcs_location_check",
    "alignment_attempt_method_check": "alignment_attempt_check",
    "alignment_attempt_outcome_check": "alignment_attempt_check1",
    "alignment_attempt_ladder_step_check": "alignment_attempt_ladder_check",
    "alignment_group_kind_check": "alignment_group_check",
    "alignment_group_scope_check": "alignment_group_check1",
    "run_end_outcome_check": "run_end_check",
}
