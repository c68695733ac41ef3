"""Options that name a field of the sky: ``--center RA DEC --size W[xH]``, and how layers are cut and kept."""

import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from hapctl.processing.pipeline.field_grid import Field

Command = TypeVar("Command", bound=Callable[..., Any])

_UNITS = {"": 60.0, "arcmin": 60.0, "'": 60.0, "arcsec": 1.0, '"': 1.0, "deg": 3600.0, "d": 3600.0}
_LENGTH = re.compile(r"(?P<number>\d+(?:\.\d*)?|\.\d+)\s*(?P<unit>[a-z'\"]*)")
_DEGREES_PER_HOUR = 15.0


class Angle(click.ParamType):
    """Degrees, or sexagesimal with colons: hours for a right ascension."""

    def __init__(self, name: str, limits: tuple[float, float], per_unit: float) -> None:
        self.name = name
        self.limits = limits
        self.per_unit = per_unit

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Return degrees."""
        try:
            degrees = float(value) if ":" not in str(value) else _sexagesimal(str(value)) * self.per_unit
        except ValueError:
            self.fail(f"{value!r} is no {self.name}: give degrees, or 12:34:56.7", param, ctx)
        low, high = self.limits
        if not low <= degrees <= high:
            self.fail(f"{value!r} is no {self.name}: from {low:g} to {high:g} degrees", param, ctx)
        return degrees


class Size(click.ParamType):
    """``W`` or ``WxH``, in arcmin where no unit is given; (width, height) in arcsec."""

    name = "size"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[float, float]:
        """Return width and height, arcsec."""
        if isinstance(value, tuple):
            return value
        sides = [_length(part) for part in re.split(r"[x,]| +", value.strip().lower().replace(" x ", "x"))]
        if len(sides) not in (1, 2) or None in sides:
            self.fail(f"{value!r} is no size: give W or WxH, as in 3, 3x2 or 90arcsecx60arcsec", param, ctx)
        numbers = [side for side in sides if side is not None]
        return numbers[0], numbers[-1]


class Length(click.ParamType):
    """Arcsec, or a number with its unit."""

    name = "length"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Return arcsec."""
        arcsec = value if isinstance(value, float) else _length(value.strip().lower(), 1.0)
        if arcsec is None:
            self.fail(f"{value!r} is no positive number of arcsec", param, ctx)
        return arcsec


def _length(text: str, plain: float = 60.0) -> float | None:
    found = _LENGTH.fullmatch(text)
    if found is None or found["unit"] not in _UNITS:
        return None
    unit = _UNITS[found["unit"]] if found["unit"] else plain
    return float(found["number"]) * unit or None


def _sexagesimal(text: str) -> float:
    sign = -1.0 if text.strip().startswith("-") else 1.0
    parts = [float(part) for part in text.strip().lstrip("+-").split(":")]
    if len(parts) > 3 or any(part < 0.0 or part >= 60.0 for part in parts[1:]):
        raise ValueError(text)
    return sign * sum(part / 60.0**power for power, part in enumerate(parts))


RIGHT_ASCENSION = Angle("right ascension", (0.0, 360.0), _DEGREES_PER_HOUR)
DECLINATION = Angle("declination", (-90.0, 90.0), 1.0)


def region_options(command: Command) -> Command:
    """Add ``--center RA DEC`` and ``--size W[xH]`` to a command (parameters ``center`` and ``size``)."""
    command = click.option(
        "--size",
        type=Size(),
        metavar="W[xH]",
        help="Width and height of the field: arcmin, or with a unit, such as 90arcsecx60arcsec.",
    )(command)
    return click.option(
        "--center",
        type=(RIGHT_ASCENSION, DECLINATION),
        metavar="RA DEC",
        help="Centre of a field: degrees ICRS, or 10:01:02.3 -1:02:03.",
    )(command)


def field_options(command: Command) -> Command:
    """Add the options of custom mosaics to a command: region, ``scale`` and ``name``."""
    command = click.option(
        "--name",
        metavar="PREFIX",
        help="Of mosaics of a field: what their names begin with, after hst_ [default: cell and centre].",
    )(command)
    command = click.option(
        "--scale",
        type=Length(),
        metavar="ARCSEC",
        help="Of mosaics of a field: side of a pixel; by default 0.04, and 0.12 besides for IR and PC.",
    )(command)
    return region_options(command)


def layer_options(command: Command) -> Command:
    """Add how layers are cut, split and kept (``full_cell``, ``split_by``, ``compress``) to a command."""
    command = click.option(
        "--compress",
        type=click.Choice(["gzip", "rice"]),
        help="Tile-compressed FITS. gzip: lossless; rice: smaller, SCI rounded to a sixteenth of its noise.",
    )(command)
    command = click.option(
        "--split",
        "split_by",
        type=click.Choice(["epoch", "proposal"]),
        help="A layer for each calendar year, or for each proposal.",
    )(command)
    return click.option(
        "--full-cell",
        is_flag=True,
        help="Layers cover their whole tile (21954 x 21954), not only their data.",
    )(command)


def field_of_options(ctx: click.Context, options: Mapping[str, Any]) -> "Field | None":
    """Return the field that options name, if any; a part of one is a usage error."""
    center, size = options["center"], options["size"]
    if (center is None) != (size is None):
        raise click.UsageError("a field is named by both --center RA DEC and --size W[xH]", ctx)
    if center is None:
        for name in ("scale", "name"):
            if options[name] is not None:
                raise click.UsageError(f"--{name} is of mosaics of a field: give --center and --size", ctx)
        return None
    from hapctl.processing.pipeline.field_grid import Field

    (ra, dec), (width, height) = center, size
    return Field(ra, dec, width, height, options["scale"], options["name"] or "")
