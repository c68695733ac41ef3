"""Settings of single products, beside the rules: from the command line, or from a file of parameters."""

from collections.abc import Iterator
from pathlib import Path

from hapctl.processing.errors import UsageProblemError
from hapctl.processing.imaging.parameters import DRIZZLE
from hapctl.processing.imaging.product_rules import product_parameter
from hapctl.processing.parameter_file import Change, parse_setting, read_parameter_file
from hapctl.processing.parameter_values import Value

COMPARISON_STEPS = ("static_mask", "separate", "median", "blot", "cosmic_rays")
"""Steps that find cosmic rays: their parameters are those of masks, which all products share."""


def product_setting(text: str) -> str:
    """Return ``step.name=value`` if products may be made with it: one of their sky or final image.

    Raises
    ------
    UsageProblemError
        It is no setting, or its value will not do; or it is one of the steps that find cosmic rays, whose
        masks all products share.
    """
    _check(parse_setting(DRIZZLE, text))
    return text


def settings_of_file(path: Path) -> tuple[str, ...]:
    """Return what a TOML file of parameters sets, as settings.

    Raises
    ------
    UsageProblemError
        As for `product_setting`, with the line; or it can't be read.
    """
    return tuple(_settings(path))


def _settings(path: Path) -> Iterator[str]:
    for change in read_parameter_file(DRIZZLE, path):
        _check(change)
        yield f"{change.parameter.full_name}={setting_value(change.value)}"


def _check(change: Change) -> None:
    name, step = change.parameter.full_name, change.parameter.step
    try:
        product_parameter(name)
    except UsageProblemError as error:
        raise UsageProblemError(f"{change.origin}: {error.message}", error.remedy) from error
    if step in COMPARISON_STEPS:
        raise UsageProblemError(
            f"{change.origin}: cosmic-ray masks are shared by all products, so {step} is set by a rule",
            f"hapctl params set {name}=... with --visit, --detector or --filter",
        )


def setting_value(value: Value) -> str:
    """Return a value as the command line takes it."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return " ".join(map(repr, value))
    return value if isinstance(value, str) else repr(value)
