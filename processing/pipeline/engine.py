"""Which engine makes the pixels, and which version of the software: light, for whoever only asks."""

from importlib.metadata import version

ENGINE = 3
"""Raised when the same inputs and parameters give other pixels."""


def software_name() -> str:
    """Return what PROD_VER says: name and version."""
    return f"hapctl {version('hapctl')}"
