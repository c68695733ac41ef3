"""DS9 region files: circles, ellipses, boxes, polygons and annuli that sources lie in or out of.

Read: frames image, physical, fk5, icrs (and j2000, which is fk5); numbers in pixels, degrees, arcminutes (')
and arcseconds ("); sexagesimal positions; several shapes in a line, comments, and - or + before a shape.
Shapes without an area (point, line, text ...) are passed over. Angles of shapes on the sky run from west to
north, as DS9 draws them. Angles, radii and shapes on the sky are taken in the plane that touches it there.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from hapctl.processing.astrometry.mapping import sky_to_plane
from hapctl.processing.errors import MissingFileError, UnusableFileError, UsageProblemError
from numpy.typing import NDArray

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]

_FRAMES = {"image": "image", "physical": "physical", "fk5": "fk5", "j2000": "fk5", "icrs": "icrs"}
_SKY_FRAMES = ("fk5", "icrs")
_OTHER_FRAMES = (
    "fk4", "b1950", "galactic", "ecliptic", "detector", "amplifier", "linear",
    *(f"wcs{key}" for key in ("", *"abcdefghijklmnopqrstuvwxyz")),
)  # fmt: skip
_WITHOUT_AREA = (
    "point", "line", "vector", "text", "ruler", "compass", "projection", "segment", "composite",
    "global", "tile",
)  # fmt: skip
_SHAPES = {"circle": (3,), "ellipse": (4, 5), "box": (4, 5), "annulus": None, "polygon": None}
_SHAPE = re.compile(r"^\s*([+-]?)\s*([a-z]+)[\s(]+(.*?)\)?\s*$", re.IGNORECASE)


@dataclass(frozen=True)
class Region:
    """One shape of a region file.

    Attributes
    ----------
    shape : str
        circle, ellipse, box, polygon or annulus.
    frame : str
        image, physical or icrs (fk5 is turned into icrs on reading).
    points : ndarray, shape (n, 2)
        Centre, or corners of a polygon: 0-based pixels, or degrees.
    sizes : tuple of float
        Pixels or arcsec: radius; semi-axes; width and height; inner and outer radius.
    angle : float
        Degrees, from x towards y, or from west towards north.
    excluded : bool
        Marked ``-``.
    """

    shape: str
    frame: str
    points: Array
    sizes: tuple[float, ...] = ()
    angle: float = 0.0
    excluded: bool = False

    @property
    def on_sky(self) -> bool:
        """Whether the shape lies on the sky and not on a chip."""
        return self.frame == "icrs"

    def contains(self, x: Array, y: Array, ra: Array, dec: Array) -> Mask:
        """Which sources lie in the shape, edges included; x and y are pixels of the shape's own frame."""
        if not self.on_sky:
            return self._holds(x - self.points[0, 0], y - self.points[0, 1], self.points - self.points[0])
        centre = (float(self.points[0, 0]), float(self.points[0, 1]))
        xi, eta = sky_to_plane(centre, ra, dec)
        corners = np.column_stack(sky_to_plane(centre, self.points[:, 0], self.points[:, 1]))
        with np.errstate(invalid="ignore"):
            return self._holds(-3600.0 * xi, 3600.0 * eta, 3600.0 * corners * [-1.0, 1.0])

    def _holds(self, x: Array, y: Array, corners: Array) -> Mask:
        """The same for offsets from the first point."""
        if self.shape == "point":
            return np.zeros(x.shape, dtype=bool)
        if self.shape == "polygon":
            return _in_polygon(x, y, corners)
        turn = np.radians(self.angle)
        along, across = x * np.cos(turn) + y * np.sin(turn), y * np.cos(turn) - x * np.sin(turn)
        if self.shape == "box":
            return (np.abs(along) <= self.sizes[0] / 2) & (np.abs(across) <= self.sizes[1] / 2)
        if self.shape == "annulus":
            distance = np.hypot(x, y)
            return (distance >= min(self.sizes)) & (distance <= max(self.sizes))
        width, height = self.sizes if self.shape == "ellipse" else (self.sizes[0], self.sizes[0])
        return (along / width) ** 2 + (across / height) ** 2 <= 1.0


def _in_polygon(x: Array, y: Array, corners: Array) -> Mask:
    """Even-odd rule: a ray from the point to the right crosses the outline an odd number of times."""
    inside = np.zeros(x.shape, dtype=bool)
    for (x0, y0), (x1, y1) in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        if y0 != y1:
            crosses = (y0 > y) != (y1 > y)
            inside ^= crosses & (x < x0 + (y - y0) * (x1 - x0) / (y1 - y0))
    return inside


@dataclass(frozen=True)
class RegionList:
    """The shapes of a region file, in order.

    Attributes
    ----------
    regions : tuple of Region
    name : str
        The file, for messages.
    physical : tuple of float
        (LTV1, LTM1_1, LTV2, LTM2_2): image pixel = physical pixel * LTM + LTV, 1-based; the same pixels
        unless told.
    """

    regions: tuple[Region, ...]
    name: str = "regions"
    physical: tuple[float, float, float, float] = (0.0, 1.0, 0.0, 1.0)

    def __len__(self) -> int:
        return len(self.regions)

    @property
    def on_sky(self) -> bool:
        """Whether any shape lies on the sky."""
        return any(region.on_sky for region in self.regions)

    @property
    def in_pixels(self) -> bool:
        """Whether any shape lies on a chip."""
        return any(not region.on_sky for region in self.regions)

    def touched(self, x: Array, y: Array, ra: Array, dec: Array) -> Mask:
        """Which sources lie in any shape, whatever its sign; 0-based pixels and degrees, shape (n,)."""
        return self._any(self.regions, x, y, ra, dec)

    def included(self, x: Array, y: Array, ra: Array, dec: Array) -> Mask:
        """Which lie in a shape not marked ``-`` (anywhere, if there is none) and in none that is."""
        wanted = [region for region in self.regions if not region.excluded]
        inside = self._any(wanted, x, y, ra, dec) if wanted else np.ones(np.shape(x), dtype=bool)
        return inside & ~self._any([r for r in self.regions if r.excluded], x, y, ra, dec)

    def _any(self, regions: Sequence[Region], x: Array, y: Array, ra: Array, dec: Array) -> Mask:
        shift_x, scale_x, shift_y, scale_y = self.physical
        physical = (x + 1.0 - shift_x) / scale_x - 1.0, (y + 1.0 - shift_y) / scale_y - 1.0
        inside = np.zeros(np.shape(x), dtype=bool)
        for region in regions:
            pixels = physical if region.frame == "physical" else (x, y)
            inside |= region.contains(*pixels, ra, dec)
        return inside


def read_regions(
    path: Path | str, physical: tuple[float, float, float, float] = (0.0, 1.0, 0.0, 1.0)
) -> RegionList:
    """Read a DS9 region file.

    Parameters
    ----------
    path : path
    physical : tuple of float, optional
        LTV1, LTM1_1, LTV2, LTM2_2 of the chip, for shapes in physical pixels.

    Raises
    ------
    MissingFileError, UnusableFileError
        The file is not there or is no text.
    UsageProblemError
        A line can't be understood; the message says which.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise MissingFileError(f"{path}: no such file", "give a DS9 region file") from error
    except (OSError, UnicodeDecodeError) as error:
        raise UnusableFileError(
            f"{path}: can't be read as text: {error}", "give a DS9 region file"
        ) from error
    return RegionList(parse_regions(text, str(path)).regions, str(path), physical)


def parse_regions(text: str, name: str = "regions", *, points: bool = False) -> RegionList:
    """Read the text of a DS9 region file; errors as from `read_regions`.

    With ``points`` the points of the file are read as well (shape "point", which holds nothing).

    Examples
    --------
    >>> parse_regions("image; circle(100, 200, 5) # color=red").regions[0].sizes
    (5.0,)
    """
    regions: list[Region] = []
    frame = "image"
    for number, line in enumerate(text.splitlines(), start=1):
        for part in line.split("#")[0].replace("||", ";").split(";"):
            statement = part.strip()
            word = statement.lower()
            if word in _FRAMES:
                frame = _FRAMES[word]
            elif word in _OTHER_FRAMES:
                raise UsageProblemError(
                    f"{name}, line {number}: frame {statement} is not read",
                    "save the regions in image, physical, fk5 or icrs",
                )
            elif statement:
                regions += _regions_of(statement, frame, f"{name}, line {number}", points)
    return RegionList(tuple(regions), name)


def _regions_of(statement: str, frame: str, where: str, points: bool) -> list[Region]:
    found = _SHAPE.match(statement)
    shape = found.group(2).lower() if found else ""
    if found is not None and points and shape == "point":
        place = _points(_numbers(found)[:2], frame in _SKY_FRAMES)
        return [_in_icrs(Region("point", frame, place, excluded=found.group(1) == "-"))]
    if shape in _WITHOUT_AREA or statement.lower().split()[0] in _WITHOUT_AREA:
        return []
    if found is None or shape not in _SHAPES:
        raise UsageProblemError(
            f"{where}: {statement[:40]!r} is no shape", "use circle, ellipse, box, polygon or annulus"
        )
    try:
        region = _region(shape, frame, _numbers(found), found.group(1) == "-")
    except ValueError as error:
        raise UsageProblemError(f"{where}: {statement[:40]!r}: {error}", "correct the line") from error
    return [_in_icrs(region)]


def _numbers(found: re.Match[str]) -> list[str]:
    return [word for word in re.split(r"[\s,]+", found.group(3)) if word]


def _region(shape: str, frame: str, words: list[str], excluded: bool) -> Region:
    sky = frame in _SKY_FRAMES
    allowed = _SHAPES[shape]
    if allowed is not None and len(words) not in allowed:
        raise ValueError(f"{shape} takes {allowed[0]} numbers, not {len(words)}")
    if shape == "polygon":
        if len(words) < 6 or len(words) % 2:
            raise ValueError("a polygon takes three corners or more, two numbers each")
        return Region(shape, frame, _points(words, sky), excluded=excluded)
    if shape == "annulus" and len(words) < 4:
        raise ValueError("annulus takes a centre and two radii or more")
    count = 1 if shape == "circle" else 2
    lengths = [_length(word, sky) for word in words[2 : 2 + count if shape != "annulus" else None]]
    if min(lengths) <= 0 and shape != "annulus":
        raise ValueError("its size is not above 0")
    angle = float(words[4].rstrip("dD")) if shape in ("ellipse", "box") and len(words) == 5 else 0.0
    return Region(shape, frame, _points(words[:2], sky), tuple(lengths), angle, excluded)


def _points(words: list[str], sky: bool) -> Array:
    if not sky:
        return np.array([float(word.rstrip("ip")) for word in words]).reshape(-1, 2) - 1.0
    pairs = zip(words[::2], words[1::2], strict=True)
    return np.array([(degrees_of(ra, 15.0), degrees_of(dec, 1.0)) for ra, dec in pairs])


def degrees_of(word: str, per_unit: float) -> float:
    """Degrees of ``1.5``, ``1.5d``, ``01:30:00`` or ``1h30m0s``; sexagesimal counts in units of per_unit."""
    parts = [part for part in re.split(r"[:hms'\"]|(?<=\d)d(?=\d)", word.lower().rstrip("d")) if part]
    if len(parts) == 1 and not re.search(r"[hms:]", word.lower()):
        return float(parts[0])
    sign = -1.0 if word.startswith("-") else 1.0
    return sign * per_unit * sum(abs(float(part)) / 60.0**n for n, part in enumerate(parts))


def _length(word: str, sky: bool) -> float:
    """Arcsec on the sky (degrees unless it ends in ' or \"), pixels on a chip."""
    units = {'"': 1.0, "'": 60.0, "d": 3600.0}
    if sky:
        return float(word.rstrip("\"'d")) * units.get(word[-1], 3600.0)
    if word[-1] in units:
        raise ValueError(f"{word} is an angle: lengths on a chip are pixels")
    return float(word.rstrip("ip"))


def _in_icrs(region: Region) -> Region:
    """FK5 (J2000) positions differ from ICRS by some 20 mas: turn them."""
    if region.frame != "fk5":
        return region
    from astropy.coordinates import SkyCoord

    sky = SkyCoord(region.points[:, 0], region.points[:, 1], unit="deg", frame="fk5").icrs
    points = np.column_stack([sky.ra.deg, sky.dec.deg])
    return Region(region.shape, "icrs", points, region.sizes, region.angle, region.excluded)
