"""``--set`` and ``--params``: parameters of products for a single command, over the rules in force."""

from collections.abc import Callable
from functools import wraps
from typing import Any

import click


def parameter_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command ``--set`` and ``--params``.

    It is called with ``settings``, a tuple of ``step.name=value``: those of the file first, then the single
    ones, for the last one holds. All are checked before the command runs.
    """

    @wraps(command)
    def with_settings(
        *arguments: Any, single_settings: tuple[str, ...], parameter_file: str | None, **options: Any
    ) -> Any:
        settings = _settings(parameter_file, single_settings)
        return command(*arguments, settings=settings, **options)

    for option in _OPTIONS:
        with_settings = option(with_settings)
    return with_settings


_OPTIONS = (
    click.option(
        "--params",
        "parameter_file",
        metavar="FILE.toml",
        type=click.Path(dir_okay=False),
        help="Set parameters of sky and final image from a TOML file ([sky], [final]); --set comes after it.",
    ),
    click.option(
        "--set",
        "single_settings",
        metavar="STEP.NAME=VALUE",
        multiple=True,
        help="Set a parameter of sky or final image for these products, such as final.kernel=point; may be "
        "repeated. Rules for all products: hapctl params.",
    ),
)


def _settings(file: str | None, single: tuple[str, ...]) -> tuple[str, ...]:
    if file is None and not single:
        return ()
    from pathlib import Path

    from hapctl.processing.imaging.product_settings import product_setting, settings_of_file

    of_file = settings_of_file(Path(file)) if file else ()
    return (*of_file, *map(product_setting, single))
