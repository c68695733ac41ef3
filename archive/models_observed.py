"""Tables of what was run, observed and found: runs, exposures, files, WCS solutions, sky tiles."""

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
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Double,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
)
from sqlalchemy.dialects.postgresql import ARRAY, INT8MULTIRANGE, TSTZRANGE

# Provenance

run = Table(
    "run",
    METADATA,
    key("run_id"),
    *required(Text, "command", "parameters_sha256", "hapctl_version", "host", "cpu", "operator"),
    *required(ARRAY(Text), "arguments"),
    *required(DOCUMENT, "parameters", "software"),
    *required(Integer, "pid", "backend_pid"),
    *required(UTC, "backend_start", "started"),
    Index("run_command_started", "command", "started"),
)
run_end = Table(
    "run_end",
    METADATA,
    Column("run_id", ForeignKey("run.run_id"), primary_key=True),
    *required(UTC, "ended"),
    *required(Text, "outcome", "message"),
    *required(SmallInteger, "exit_code"),
    *required(BigInteger, "peak_memory_bytes"),
    *required(DOCUMENT, "summary"),
)
policy = Table(
    "policy",
    METADATA,
    key("policy_id"),
    *required(Text, "kind", "name"),
    *required(Integer, "version"),
    *required(DOCUMENT, "content"),
    *to("run.run_id", "run_id"),
    UniqueConstraint("kind", "name", "version"),
)
policy_active = Table(
    "policy_active",
    METADATA,
    key("policy_active_id"),
    *required(Text, "kind"),
    *to("policy.policy_id", "policy_id"),
    *required(TSTZRANGE, "during"),
    *to("run.run_id", "run_id"),
    *maybe_to("run.run_id", "closed_run_id"),
)

# What was observed, and where the files are

proposal = Table(
    "proposal",
    METADATA,
    Column("proposal_id", Integer, primary_key=True, autoincrement=False),
    *to("run.run_id", "run_id"),
)
visit = Table(
    "visit",
    METADATA,
    Column("visit", Text, primary_key=True),
    *maybe_to("proposal.proposal_id", "proposal_id"),
    *required(Text, "instrument"),
    *to("run.run_id", "run_id"),
)
exposure = Table(
    "exposure",
    METADATA,
    key("exposure_id"),
    *required(Text, "rootname", "instrument", "detector", "filter"),
    *to("visit.visit", "visit"),
    *maybe_to("proposal.proposal_id", "proposal_id"),
    *required(ARRAY(Text), "filter_elements"),
    *optional(
        Text,
        "aperture",
        "target_name",
        "obstype",
        "image_type",
        "fgs_lock",
        "scan_type",
        "exclusion_code",
        "exclusion_reason",
    ),
    *required(Boolean, "moving_target"),
    *optional(Double, "exposure_time", "mjd_start", "mjd_end", "ra_target", "dec_target", "pa_v3"),
    *optional(UTC, "t_start", "t_mid", "t_end"),
    *to("run.run_id", "run_id", "updated_run_id"),
    UniqueConstraint("rootname"),
    Index("exposure_layer", "instrument", "detector", "filter"),
    Index("exposure_proposal", "proposal_id"),
    Index("exposure_visit", "visit"),
)
exposure_withdrawal = Table(
    "exposure_withdrawal",
    METADATA,
    key("withdrawal_id"),
    *to("exposure.exposure_id", "exposure_id"),
    *required(Text, "reason"),
    *required(TSTZRANGE, "during"),
    *to("run.run_id", "run_id"),
    *maybe_to("run.run_id", "closed_run_id"),
    Index("exposure_withdrawal_now", "exposure_id", postgresql_where=IN_FORCE),
)
exposure_file = Table(
    "exposure_file",
    METADATA,
    key("file_id"),
    *to("exposure.exposure_id", "exposure_id"),
    *required(Text, "suffix", "sha256"),
    *required(BigInteger, "size_bytes"),
    *optional(DateTime(), "fits_date"),
    *required(Integer, "headerlets"),
    *required(DOCUMENT, "primary_header"),
    *to("run.run_id", "run_id"),
    UniqueConstraint("exposure_id", "file_id"),
    UniqueConstraint("exposure_id", "suffix", "sha256"),
    Index("exposure_file_sha256", "sha256"),
)
exposure_file_current = Table(
    "exposure_file_current",
    METADATA,
    key("exposure_file_current_id"),
    *required(BigInteger, "exposure_id", "file_id"),
    *required(Text, "suffix"),
    *required(TSTZRANGE, "during"),
    *to("run.run_id", "run_id"),
    *maybe_to("run.run_id", "closed_run_id"),
    both_to("exposure_file", "exposure_id", "file_id"),
    Index("exposure_file_current_one", "exposure_id", "suffix", unique=True, postgresql_where=IN_FORCE),
)
archive_root = Table(
    "archive_root",
    METADATA,
    key("root_id"),
    *to("run.run_id", "run_id"),
)
archive_root_path = Table(
    "archive_root_path",
    METADATA,
    key("archive_root_path_id"),
    *to("archive_root.root_id", "root_id"),
    *required(Text, "path"),
    *required(TSTZRANGE, "during"),
    *to("run.run_id", "run_id"),
    *maybe_to("run.run_id", "closed_run_id"),
    Index("archive_root_path_one", "path", unique=True, postgresql_where=IN_FORCE),
)
file_location = Table(
    "file_location",
    METADATA,
    key("location_id"),
    *to("exposure_file.file_id", "file_id"),
    *to("archive_root.root_id", "root_id"),
    *required(Text, "path"),
    *required(BigInteger, "size_bytes", "mtime_ns"),
    *required(TSTZRANGE, "during"),
    *to("run.run_id", "run_id"),
    *maybe_to("run.run_id", "closed_run_id"),
    Index("file_location_file", "file_id"),
    Index("file_location_one", "root_id", "path", unique=True, postgresql_where=IN_FORCE),
)
chip = Table(
    "chip",
    METADATA,
    Column("file_id", ForeignKey("exposure_file.file_id"), primary_key=True),
    Column("extver", Integer, primary_key=True, autoincrement=False),
    *required(Integer, "chip", "nx", "ny"),
    *optional(Text, "unit", "photmode"),
    *optional(Double, "photflam", "photplam"),
)

# WCS solutions

lookup_table = Table(
    "lookup_table",
    METADATA,
    Column("sha256", Text, primary_key=True),
    *required(Integer, "nx", "ny"),
    *required(Double, "crpix1", "crpix2", "crval1", "crval2", "cdelt1", "cdelt2"),
    *required(LargeBinary, "nodes"),
    *to("run.run_id", "run_id"),
)
distortion_model = Table(
    "distortion_model",
    METADATA,
    key("distortion_id"),
    *required(Text, "sha256"),
    *required(Integer, "sip_order"),
    *required(ARRAY(Double), "sip_a", "sip_b"),
    *maybe_to("lookup_table.sha256", "npol_x", "npol_y", "d2im_x", "d2im_y"),
    *optional(Double, "idcscale"),
    *to("run.run_id", "run_id"),
    UniqueConstraint("sha256"),
)
alignment_group = Table(
    "alignment_group",
    METADATA,
    key("alignment_group_id"),
    *maybe_to("visit.visit", "visit"),
    *required(Text, "scope", "scope_name", "kind", "inputs_sha256"),
    *optional(Text, "detector", "catalog"),
    Column("part", Integer, nullable=False, server_default="0"),
    Column("figures", DOCUMENT, nullable=False, server_default="{}"),
    *to("policy.policy_id", "policy_id"),
    *to("run.run_id", "run_id"),
    UniqueConstraint("inputs_sha256", "part"),
)
wcs_solution = Table(
    "wcs_solution",
    METADATA,
    key("solution_id"),
    *to("exposure.exposure_id", "exposure_id"),
    *required(Text, "wcsname", "transformation_sha256", "kind", "suffix", "frame", "s_region"),
    *optional(Text, "base", "idc_root", "mode", "catalog", "fit_geometry", "problem", "headerlet_sha256"),
    *maybe_to("alignment_group.alignment_group_id", "alignment_group_id"),
    *optional(Integer, "nmatches"),
    *optional(Double, "rms_ra_mas", "rms_dec_mas"),
    *required(DOCUMENT, "keywords"),
    *required(INT8MULTIRANGE, "footprint"),
    *optional(LargeBinary, "headerlet"),
    *to("run.run_id", "run_id"),
    UniqueConstraint("exposure_id", "solution_id"),
    UniqueConstraint("exposure_id", "wcsname", "transformation_sha256"),
    Index("wcs_solution_footprint", "footprint", postgresql_using="gist"),
    Index("wcs_solution_group", "alignment_group_id"),
)
wcs_chip = Table(
    "wcs_chip",
    METADATA,
    Column("solution_id", ForeignKey("wcs_solution.solution_id"), primary_key=True),
    Column("extver", Integer, primary_key=True, autoincrement=False),
    *required(Integer, "chip", "nx", "ny"),
    *required(Double, "crpix1", "crpix2", "crval1", "crval2", "cd1_1", "cd1_2", "cd2_1", "cd2_2"),
    *required(Text, "ctype1", "ctype2"),
    *to("distortion_model.distortion_id", "distortion_id"),
    *required(ARRAY(Double), "polygon"),
)
wcs_location = Table(
    "wcs_location",
    METADATA,
    key("wcs_location_id"),
    *to("wcs_solution.solution_id", "solution_id"),
    *maybe_to("exposure_file.file_id", "file_id"),
    *required(Text, "place", "key"),
    *to("run.run_id", "run_id"),
    UniqueConstraint("solution_id", "file_id", "place", "key", postgresql_nulls_not_distinct=True),
    Index("wcs_location_file", "file_id"),
)
wcs_active = Table(
    "wcs_active",
    METADATA,
    key("wcs_active_id"),
    *required(BigInteger, "exposure_id", "solution_id"),
    *required(TSTZRANGE, "during"),
    *required(Text, "origin", "reason"),
    *optional(Text, "frame"),
    *to("run.run_id", "run_id"),
    *maybe_to("run.run_id", "closed_run_id"),
    both_to("wcs_solution", "exposure_id", "solution_id"),
    Index("wcs_active_now", "exposure_id", unique=True, postgresql_where=IN_FORCE),
    Index("wcs_active_solution", "solution_id", postgresql_where=IN_FORCE),
)

# The sky

projection_cell = Table(
    "projection_cell",
    METADATA,
    Column("projection_cell", Integer, primary_key=True, autoincrement=False),
    *required(Double, "ra", "dec"),
)
sky_cell = Table(
    "sky_cell",
    METADATA,
    Column("sky_cell_id", Integer, primary_key=True, autoincrement=False),
    *required(Text, "name"),
    *to("projection_cell.projection_cell", "projection_cell"),
    *required(SmallInteger, "x", "y"),
    UniqueConstraint("name"),
)
solution_sky_cell = Table(
    "solution_sky_cell",
    METADATA,
    Column("solution_id", ForeignKey("wcs_solution.solution_id"), primary_key=True),
    Column("sky_cell_id", ForeignKey("sky_cell.sky_cell_id"), primary_key=True),
    *required(Double, "fraction"),
    Index("solution_sky_cell_cell", "sky_cell_id", "solution_id"),
)
