"""Columns of the catalog's tables, shared by ``models_observed`` and ``models_made``."""

from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    DateTime,
    ForeignKey,
    ForeignKeyConstraint,
    Identity,
    MetaData,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

METADATA = MetaData()
UTC = DateTime(timezone=True)
# None is NULL, which NOT NULL refuses; SQLAlchemy would write JSON's own null.
DOCUMENT = JSONB(none_as_null=True)
IN_FORCE = text("upper_inf(during)")


def key(name: str) -> "Column[int]":
    """Return the numbering primary key."""
    return Column(name, BigInteger, Identity(always=True), primary_key=True)


def required(kind: Any, *names: str) -> list["Column[Any]"]:
    """Return columns of a type that must have a value."""
    return [Column(name, kind, nullable=False) for name in names]


def optional(kind: Any, *names: str) -> list["Column[Any]"]:
    """Return columns of a type that may be NULL."""
    return [Column(name, kind) for name in names]


def to(target: str, *names: str) -> list["Column[Any]"]:
    """Return required columns that refer to another table's column."""
    return [Column(name, ForeignKey(target), nullable=False) for name in names]


def maybe_to(target: str, *names: str) -> list["Column[Any]"]:
    """Return columns that may refer to another table's column."""
    return [Column(name, ForeignKey(target)) for name in names]


def both_to(table: str, first: str, second: str) -> ForeignKeyConstraint:
    """Return the reference of two columns together to those of the same names."""
    return ForeignKeyConstraint([first, second], [f"{table}.{first}", f"{table}.{second}"])
