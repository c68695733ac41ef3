"""Tables of what hapctl made: reference answers, alignment attempts, masks, products."""

from hapctl.archive.models_base import (
    DOCUMENT,
    IN_FORCE,
    METADATA,
    UTC,
    both_to,
    key,
    maybe_to,
    optional,
    required,
    to,
)
from sqlalchemy import (
    REAL,
    BigInteger,
    Boolean,
    Column,
    Double,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
)
from sqlalchemy.dialects.postgresql import ARRAY, INT8MULTIRANGE, TSTZRANGE

# Reference catalogs

reference_query = Table(
    "reference_query",
    METADATA,
    key("reference_query_id"),
    *required(Text, "release", "source", "service", "question", "region", "answer_sha256"),
    *required(INT8MULTIRANGE, "coverage"),
    *required(Integer, "n_rows"),
    *required(UTC, "fetched"),
    *to("run.run_id", "run_id"),
    Index("reference_query_coverage", "coverage", postgresql_using="gist"),
)
reference_source = Table(
    "reference_source",
    METADATA,
    Column("reference_query_id", ForeignKey("reference_query.reference_query_id"), primary_key=True),
    Column("source_id", Text, primary_key=True),
    *required(BigInteger, "healpix"),
    *required(Double, "ra", "dec", "ref_epoch"),
    *optional(
        Double,
        "ra_error",
        "dec_error",
        "parallax",
        "parallax_error",
        "pmra",
        "pmra_error",
        "pmdec",
        "pmdec_error",
        "phot_g_mean_mag",
        "bp_rp",
        "ruwe",
    ),
    *optional(ARRAY(REAL), "correlations"),
    *optional(SmallInteger, "params_solved"),
    *optional(Boolean, "duplicated_source"),
    Index("reference_source_healpix", "healpix"),
)

# Alignment

alignment_member = Table(
    "alignment_member",
    METADATA,
    Column("alignment_group_id", ForeignKey("alignment_group.alignment_group_id"), primary_key=True),
    Column("exposure_id", ForeignKey("exposure.exposure_id"), primary_key=True),
    *required(BigInteger, "solution_id"),
    *required(Integer, "guide_star_set"),
    *required(DOCUMENT, "prior"),
    *required(ARRAY(Double), "centre", "correction", "covariance"),
    *required(Double, "predicted_error_mas", "common_floor_mas"),
    *to("run.run_id", "run_id"),
    both_to("wcs_solution", "exposure_id", "solution_id"),
    Index("alignment_member_exposure", "exposure_id"),
    Index("alignment_member_solution", "solution_id"),
)
alignment_attempt = Table(
    "alignment_attempt",
    METADATA,
    key("attempt_id"),
    *to("run.run_id", "run_id"),
    *to("visit.visit", "visit"),
    *to("exposure.exposure_id", "exposure_id"),
    *maybe_to("alignment_group.alignment_group_id", "alignment_group_id"),
    *required(Text, "method", "geometry", "outcome", "code", "reason"),
    *optional(Text, "catalog"),
    *to("policy.policy_id", "policy_id"),
    *optional(UTC, "epoch"),
    *required(Integer, "n_detected", "n_reference", "nmatches"),
    *optional(
        Double,
        "rms_ra_mas",
        "rms_dec_mas",
        "shift_ra_mas",
        "shift_dec_mas",
        "rotation_deg",
        "scale_ratio",
        "score",
        "best_decoy_score",
        "covered_fraction",
    ),
    *required(BigInteger, "from_solution_id"),
    *optional(BigInteger, "solution_id"),
    *required(DOCUMENT, "metrics"),
    *maybe_to("policy.policy_id", "ladder_policy_id"),
    *optional(Integer, "ladder_step"),
    *optional(Text, "inputs_sha256"),
    ForeignKeyConstraint(
        ["exposure_id", "from_solution_id"], ["wcs_solution.exposure_id", "wcs_solution.solution_id"]
    ),
    both_to("wcs_solution", "exposure_id", "solution_id"),
    Index("alignment_attempt_exposure", "exposure_id"),
    Index("alignment_attempt_inputs", "inputs_sha256"),
    Index("alignment_attempt_solution", "solution_id"),
    Index("alignment_attempt_visit", "visit", "run_id"),
)
attempt_reference_query = Table(
    "attempt_reference_query",
    METADATA,
    Column("attempt_id", ForeignKey("alignment_attempt.attempt_id"), primary_key=True),
    Column("reference_query_id", ForeignKey("reference_query.reference_query_id"), primary_key=True),
)
star_match = Table(
    "star_match",
    METADATA,
    Column("attempt_id", ForeignKey("alignment_attempt.attempt_id"), primary_key=True),
    Column("star", Integer, primary_key=True, autoincrement=False),
    *required(Integer, "extver"),
    *required(
        Double,
        "x",
        "y",
        "ra",
        "dec",
        "reference_ra",
        "reference_dec",
        "residual_ra_mas",
        "residual_dec_mas",
        "error_mas",
        "weight",
    ),
    *optional(Text, "source_id"),
    *required(Boolean, "used"),
    *optional(
        Double,
        "magnitude",
        "snr",
        "catalog_ra",
        "catalog_dec",
        "catalog_residual_ra_mas",
        "catalog_residual_dec_mas",
        "instrumental_magnitude",
    ),
    *optional(Integer, "group_star"),
    Index("star_match_source", "source_id"),
)

# Masks and products

exposure_mask = Table(
    "exposure_mask",
    METADATA,
    key("mask_id"),
    *required(BigInteger, "exposure_id", "file_id", "solution_id", "size_bytes", "n_flagged"),
    *required(Text, "inputs_sha256", "parameters_sha256", "path", "sha256"),
    *required(DOCUMENT, "parameters"),
    *to("run.run_id", "run_id"),
    both_to("exposure_file", "exposure_id", "file_id"),
    both_to("wcs_solution", "exposure_id", "solution_id"),
    UniqueConstraint("exposure_id", "mask_id"),
    Index("exposure_mask_inputs", "exposure_id", "inputs_sha256", "parameters_sha256"),
)
exposure_mask_current = Table(
    "exposure_mask_current",
    METADATA,
    key("exposure_mask_current_id"),
    *required(BigInteger, "exposure_id", "mask_id"),
    *required(TSTZRANGE, "during"),
    *to("run.run_id", "run_id"),
    *maybe_to("run.run_id", "closed_run_id"),
    both_to("exposure_mask", "exposure_id", "mask_id"),
    Index("exposure_mask_current_now", "exposure_id", postgresql_where=IN_FORCE),
)
product_key = Table(
    "product_key",
    METADATA,
    key("product_key_id"),
    *required(Text, "folder", "name"),
    *to("run.run_id", "run_id"),
    UniqueConstraint("folder", "name"),
)
product = Table(
    "product",
    METADATA,
    key("product_id"),
    *to("product_key.product_key_id", "product_key_id"),
    *required(
        Text,
        "kind",
        "name",
        "instrument",
        "detector",
        "filter",
        "s_region",
        "wcs_policy",
        "inputs_sha256",
        "parameters_sha256",
        "pixels_sha256",
    ),
    *maybe_to("visit.visit", "visit"),
    *maybe_to("sky_cell.sky_cell_id", "sky_cell_id"),
    *required(Double, "pixel_scale"),
    *required(Integer, "nx", "ny"),
    *required(DOCUMENT, "grid", "parameters"),
    *to("policy.policy_id", "policy_id"),
    *to("run.run_id", "run_id"),
    UniqueConstraint("product_key_id", "product_id"),
    Index("product_sky_cell", "sky_cell_id"),
    Index("product_visit", "visit"),
)
product_input = Table(
    "product_input",
    METADATA,
    Column("product_id", ForeignKey("product.product_id"), primary_key=True),
    Column("exposure_id", BigInteger, primary_key=True, autoincrement=False),
    *required(BigInteger, "file_id", "solution_id"),
    *optional(BigInteger, "mask_id"),
    *required(ARRAY(Double), "sky"),
    both_to("exposure_file", "exposure_id", "file_id"),
    both_to("exposure_mask", "exposure_id", "mask_id"),
    both_to("wcs_solution", "exposure_id", "solution_id"),
    Index("product_input_exposure", "exposure_id", "solution_id"),
)
product_exclusion = Table(
    "product_exclusion",
    METADATA,
    Column("product_id", ForeignKey("product.product_id"), primary_key=True),
    Column("exposure_id", ForeignKey("exposure.exposure_id"), primary_key=True),
    *optional(BigInteger, "solution_id"),
    *required(Text, "code", "reason"),
    both_to("wcs_solution", "exposure_id", "solution_id"),
    Index("product_exclusion_exposure", "exposure_id"),
)
product_file = Table(
    "product_file",
    METADATA,
    key("product_file_id"),
    *to("product.product_id", "product_id"),
    *required(Text, "kind", "path", "sha256"),
    *required(BigInteger, "size_bytes"),
    UniqueConstraint("product_id", "kind"),
)
product_file_check = Table(
    "product_file_check",
    METADATA,
    key("product_file_check_id"),
    *to("product_file.product_file_id", "product_file_id"),
    *required(Text, "state"),
    *required(UTC, "checked"),
    *to("run.run_id", "run_id"),
    Index("product_file_check_file", "product_file_id", "product_file_check_id"),
)
product_pending = Table(
    "product_pending",
    METADATA,
    Column("product_id", ForeignKey("product.product_id"), primary_key=True),
    *required(DOCUMENT, "moves"),
    *to("run.run_id", "run_id"),
)
product_current = Table(
    "product_current",
    METADATA,
    key("product_current_id"),
    *required(BigInteger, "product_key_id", "product_id"),
    *required(TSTZRANGE, "during"),
    *to("run.run_id", "run_id"),
    *maybe_to("run.run_id", "closed_run_id"),
    both_to("product", "product_key_id", "product_id"),
    Index("product_current_now", "product_key_id", postgresql_where=IN_FORCE),
    Index("product_current_product", "product_id"),
)

# Changes of files in place

file_change = Table(
    "file_change",
    METADATA,
    key("file_change_id"),
    *required(Text, "path", "description", "before_sha256", "after_sha256"),
    *required(LargeBinary, "undo"),
    *to("run.run_id", "run_id"),
    Index("file_change_run", "run_id"),
    Index("file_change_path", "path"),
)
file_change_undone = Table(
    "file_change_undone",
    METADATA,
    Column("file_change_id", ForeignKey("file_change.file_change_id"), primary_key=True),
    *required(Text, "outcome"),
    Column("run_id", ForeignKey("run.run_id"), primary_key=True),
)
