"""Alembic's side of the migrations: one small revision per file of ``sql/migrations``."""
