"""Tables of recalls: what was taken out of use together with a bad run, file, solution or product."""

from hapctl.archive.models_base import DOCUMENT, METADATA, both_to, key, maybe_to, optional, required, to
from sqlalchemy import BigInteger, Boolean, Column, ForeignKey, ForeignKeyConstraint, Index, Table, Text


def _of_recall(*primary: "Column[int]") -> list["Column[int]"]:
    return [Column("recall_id", ForeignKey("recall.recall_id"), primary_key=True), *primary]


def _number(name: str) -> "Column[int]":
    return Column(name, BigInteger, primary_key=True, autoincrement=False)


recall = Table(
    "recall",
    METADATA,
    key("recall_id"),
    *required(Text, "target", "reason"),
    *maybe_to("run.run_id", "recalled_run_id"),
    *maybe_to("exposure_file.file_id", "file_id"),
    *maybe_to("wcs_solution.solution_id", "solution_id"),
    *maybe_to("product.product_id", "product_id"),
    *to("run.run_id", "run_id"),
)
recall_release = Table(
    "recall_release", METADATA, *_of_recall(), *required(Text, "reason"), *to("run.run_id", "run_id")
)
recalled_file = Table(
    "recalled_file",
    METADATA,
    *_of_recall(Column("file_id", ForeignKey("exposure_file.file_id"), primary_key=True)),
    Index("recalled_file_file", "file_id"),
)
recalled_query = Table(
    "recalled_query",
    METADATA,
    *_of_recall(
        Column("reference_query_id", ForeignKey("reference_query.reference_query_id"), primary_key=True)
    ),
    Index("recalled_query_query", "reference_query_id"),
)
recalled_solution = Table(
    "recalled_solution",
    METADATA,
    *_of_recall(_number("solution_id")),
    *required(BigInteger, "exposure_id"),
    *optional(Text, "origin"),
    both_to("wcs_solution", "exposure_id", "solution_id"),
    Index("recalled_solution_solution", "solution_id"),
)
recalled_mask = Table(
    "recalled_mask",
    METADATA,
    *_of_recall(_number("mask_id")),
    *required(BigInteger, "exposure_id"),
    *required(Boolean, "was_current"),
    both_to("exposure_mask", "exposure_id", "mask_id"),
    Index("recalled_mask_mask", "mask_id"),
)
recalled_product = Table(
    "recalled_product",
    METADATA,
    *_of_recall(Column("product_id", ForeignKey("product.product_id"), primary_key=True)),
    *required(Boolean, "was_current"),
    Index("recalled_product_product", "product_id"),
)
recalled_product_dropped = Table(
    "recalled_product_dropped",
    METADATA,
    _number("recall_id"),
    _number("product_id"),
    *to("run.run_id", "run_id"),
    ForeignKeyConstraint(
        ["recall_id", "product_id"], ["recalled_product.recall_id", "recalled_product.product_id"]
    ),
)
recall_pending = Table(
    "recall_pending",
    METADATA,
    key("recall_pending_id"),
    *to("recall.recall_id", "recall_id"),
    *required(DOCUMENT, "moves"),
    *to("run.run_id", "run_id"),
)
