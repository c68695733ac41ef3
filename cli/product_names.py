"""Names of products on the command line: file names, paths and numbers."""

import os
from typing import Any

import click


def as_known(_ctx: click.Context, _parameter: click.Parameter, value: Any) -> Any:
    """Return names as the catalog knows them, as a callback of options and arguments: paths are absolute."""
    if isinstance(value, tuple):
        return tuple(_known(name) for name in value)
    return None if value is None else _known(value)


def _known(name: str) -> str:
    return os.path.abspath(name) if "/" in name else name
