"""Tables of work on many targets; see `hapctl.archive.models`."""

from hapctl.archive.models_base import DOCUMENT, METADATA, UTC, both_to, key, optional, required, to
from sqlalchemy import (
    BigInteger,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    SmallInteger,
    Table,
    Text,
    UniqueConstraint,
)
from sqlalchemy.dialects.postgresql import ARRAY

work_batch = Table(
    "work_batch",
    METADATA,
    key("batch_id"),
    *required(Text, "command"),
    *optional(Integer, "workers"),
    *optional(Text, "scheduler"),
    *to("run.run_id", "run_id"),
    UniqueConstraint("run_id"),
)
work_unit = Table(
    "work_unit",
    METADATA,
    Column("batch_id", ForeignKey("work_batch.batch_id"), primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    *required(Text, "name", "action"),
    *required(DOCUMENT, "target"),
    *required(ARRAY(Integer), "needs"),
    *optional(BigInteger, "memory_bytes"),
    *optional(Double, "seconds"),
    UniqueConstraint("batch_id", "name"),
)
work_unit_start = Table(
    "work_unit_start",
    METADATA,
    key("work_unit_start_id"),
    *required(BigInteger, "batch_id"),
    *required(Integer, "number", "pid", "backend_pid"),
    *required(Text, "host"),
    *required(UTC, "backend_start", "started"),
    *optional(BigInteger, "memory_bytes"),
    both_to("work_unit", "batch_id", "number"),
    Index("work_unit_start_unit", "batch_id", "number"),
)
work_unit_end = Table(
    "work_unit_end",
    METADATA,
    Column("batch_id", BigInteger, primary_key=True, autoincrement=False),
    Column("number", Integer, primary_key=True, autoincrement=False),
    *required(Text, "status", "message", "remedy"),
    *required(SmallInteger, "exit_code"),
    *required(ARRAY(BigInteger), "runs"),
    *required(Double, "seconds"),
    *required(BigInteger, "peak_memory_bytes"),
    *required(UTC, "ended"),
    both_to("work_unit", "batch_id", "number"),
)
