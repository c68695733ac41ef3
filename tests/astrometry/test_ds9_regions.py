"""DS9 region files: every shape against an independent calculation, and the many ways to write them."""

from pathlib import Path

import numpy as np
import pytest
from astropy import units as u
from astropy.coordinates import SkyCoord
from hapctl.processing.astrometry.ds9_regions import degrees_of, parse_regions, read_regions
from hapctl.processing.errors import MissingFileError, UnusableFileError, UsageProblemError
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.path import Path as Outline
from numpy.typing import NDArray

Array = NDArray[np.float64]
NOWHERE = np.full(2000, np.nan)


def points(seed: int = 1) -> tuple[Array, Array]:
    rng = np.random.default_rng(seed)
    return rng.uniform(0, 100, 2000), rng.uniform(0, 100, 2000)


def in_pixels(text: str, x: Array, y: Array) -> NDArray[np.bool_]:
    return parse_regions(text).touched(x, y, np.full_like(x, np.nan), np.full_like(x, np.nan))


def test_pixels_count_from_one() -> None:
    x, y = points()
    inside = in_pixels("image\ncircle(31, 41, 12)", x, y)
    assert np.array_equal(inside, np.hypot(x - 30, y - 40) <= 12)
    assert inside.any()


@given(angle=st.floats(-180, 180), width=st.floats(5, 60), height=st.floats(5, 60), seed=st.integers(0, 99))
def test_boxes_and_ellipses_turn_from_x_to_y(angle: float, width: float, height: float, seed: int) -> None:
    x, y = points(seed)
    turned = ((x - 50) + 1j * (y - 50)) * np.exp(-1j * np.radians(angle))
    box = in_pixels(f"image;box(51,51,{width},{height},{angle})", x, y)
    assert np.array_equal(box, (abs(turned.real) <= width / 2) & (abs(turned.imag) <= height / 2))
    ellipse = in_pixels(f"image;ellipse(51,51,{width},{height},{angle})", x, y)
    with_margin = (turned.real / width) ** 2 + (turned.imag / height) ** 2
    sure = abs(with_margin - 1) > 1e-9
    assert np.array_equal(ellipse[sure], (with_margin <= 1)[sure])


def test_an_annulus_has_a_hole() -> None:
    x, y = points()
    distance = np.hypot(x - 50, y - 50)
    inside = in_pixels("image; annulus(51, 51, 10, 30)", x, y)
    assert np.array_equal(inside, (distance >= 10) & (distance <= 30))


@given(seed=st.integers(0, 999), corners=st.integers(3, 9))
def test_polygons_hold_what_matplotlib_says(seed: int, corners: int) -> None:
    rng = np.random.default_rng(seed)
    angle = np.sort(rng.uniform(0, 2 * np.pi, corners))
    radius = rng.uniform(10, 45, corners)
    outline = np.column_stack([50 + radius * np.cos(angle), 50 + radius * np.sin(angle)])
    text = ",".join(f"{value + 1!r}" for value in outline.ravel().tolist())
    x, y = points(seed)
    assert np.array_equal(
        in_pixels(f"image\npolygon({text})", x, y), Outline(outline).contains_points(np.column_stack([x, y]))
    )


def test_circles_on_the_sky_are_measured_by_astropy() -> None:
    rng = np.random.default_rng(2)
    centre = SkyCoord(6.02 * u.deg, -72.08 * u.deg)
    ra, dec = 6.02 + rng.uniform(-0.05, 0.05, 2000), -72.08 + rng.uniform(-0.02, 0.02, 2000)
    apart = SkyCoord(ra * u.deg, dec * u.deg).separation(centre).arcsec
    for text, radius in (('20"', 20.0), ("0.5'", 30.0), ("0.01", 36.0), ("0.01d", 36.0)):
        inside = parse_regions(f"icrs; circle(6.02, -72.08, {text})").touched(NOWHERE, NOWHERE, ra, dec)
        assert np.array_equal(inside, apart <= radius), text
        assert inside.any()


def test_boxes_on_the_sky_turn_from_west_to_north() -> None:
    rng = np.random.default_rng(3)
    centre = SkyCoord(150.0 * u.deg, 2.0 * u.deg)
    ra, dec = 150 + rng.uniform(-0.02, 0.02, 2000), 2 + rng.uniform(-0.02, 0.02, 2000)
    east, north = (one.arcsec for one in centre.spherical_offsets_to(SkyCoord(ra * u.deg, dec * u.deg)))
    turned = (-east + 1j * north) * np.exp(-1j * np.radians(30.0))
    inside = parse_regions('icrs\nbox(10:00:00,+02:00:00,40",10",30)').touched(NOWHERE, NOWHERE, ra, dec)
    expected = (abs(turned.real) <= 20) & (abs(turned.imag) <= 5)
    near = (abs(abs(turned.real) - 20) < 1e-3) | (abs(abs(turned.imag) - 5) < 1e-3)
    assert np.array_equal(inside[~near], expected[~near])
    assert inside.any()


def test_a_polygon_across_right_ascension_zero() -> None:
    ra, dec = np.array([359.999, 0.001, 0.1, 359.9]), np.array([0.0, 0.0, 0.0, 0.0])
    regions = parse_regions("icrs;polygon(359.99,-0.01,0.01,-0.01,0.01,0.01,359.99,0.01)")
    assert regions.touched(ra, ra, ra, dec).tolist() == [True, True, False, False]


def test_fk5_is_turned_into_icrs() -> None:
    region = parse_regions('fk5;circle(1:02:03.4,-5:06:07.8,1")').regions[0]
    sky = SkyCoord("1:02:03.4 -5:06:07.8", unit=("hourangle", "deg"), frame="fk5").icrs
    assert region.points[0] == pytest.approx([sky.ra.deg, sky.dec.deg], abs=1e-12)
    assert region.frame == "icrs"


def test_physical_pixels_follow_the_corner_of_a_subarray(tmp_path: Path) -> None:
    path = tmp_path / "a.reg"
    path.write_text("physical\ncircle(110, 60, 2)\n")
    x, y = np.array([9.0, 109.0]), np.array([9.0, 59.0])
    sub = read_regions(path, (-100.0, 1.0, -50.0, 1.0))
    assert sub.touched(x, y, x, y).tolist() == [True, False]
    assert read_regions(path).touched(x, y, x, y).tolist() == [False, True]


def test_signs_follow_tweakreg() -> None:
    x = np.array([0.0, 10.0, 20.0, 90.0])
    y = np.zeros(4)
    both = parse_regions("image\ncircle(11,1,15)\n-circle(21,1,3)")
    assert both.included(x, y, x, y).tolist() == [True, True, False, False]
    assert both.touched(x, y, x, y).tolist() == [True, True, True, False]
    only_minus = parse_regions("image\n-circle(21,1,3)")
    assert only_minus.included(x, y, x, y).tolist() == [True, True, False, True]


def test_what_ds9_writes_is_read() -> None:
    text = """# Region file format: DS9 version 4.1
# Filename: j8bt06nyq_flt.fits[SCI,1]
global color=green dashlist=8 3 width=1 font="helvetica 10 normal roman" select=1
image
circle(100,200,10) # color=red text={a; b}
ellipse 300 400 20 10 45
-box(10,20,30,40,0); polygon(1,1,5,1,5,5)
# text(10,10) text={hello}
point(5,5) # point=x
line(1,1,2,2) # line=0 0
annulus(50,60,5i,10i)
"""
    shapes = [region.shape for region in parse_regions(text).regions]
    assert shapes == ["circle", "ellipse", "box", "polygon", "annulus"]
    assert len(parse_regions(text, points=True)) == 6


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("galactic;circle(1,2,3)", "frame galactic"),
        ("image;circle(1,2)", "circle takes 3 numbers"),
        ("image;circle(1,2,x)", "could not convert"),
        ('image;circle(1,2,3")', "lengths on a chip are pixels"),
        ("image;circle(1,2,-3)", "not above 0"),
        ("image;polygon(1,2,3,4)", "three corners"),
        ("image;pie(1,2,3,4)", "no shape"),
        ("image\n\nannulus(1,2,3)", "line 3"),
        ("image;circle", "no shape"),
    ],
)
def test_what_is_wrong_is_said_with_its_line(text: str, words: str) -> None:
    with pytest.raises(UsageProblemError) as caught:
        parse_regions(text, "my.reg")
    assert words in caught.value.message
    assert "my.reg" in caught.value.message


def test_files_that_can_not_be_read(tmp_path: Path) -> None:
    with pytest.raises(MissingFileError):
        read_regions(tmp_path / "no.reg")
    (tmp_path / "binary.reg").write_bytes(b"\xff\xfe\x00\x80")
    with pytest.raises(UnusableFileError):
        read_regions(tmp_path / "binary.reg")


@given(st.floats(0, 359.999), st.booleans())
def test_sexagesimal_numbers(value: float, letters: bool) -> None:
    total = value / 15.0
    hours, minutes = int(total), int(total * 60) % 60
    seconds = (total * 60 - int(total * 60)) * 60
    text = f"{hours}h{minutes}m{seconds:.9f}s" if letters else f"{hours}:{minutes:02d}:{seconds:.9f}"
    assert degrees_of(text, 15.0) == pytest.approx(value, abs=1e-8)
    assert degrees_of(f"-{text}", 15.0) == pytest.approx(-value, abs=1e-8)
    assert degrees_of(f"{value}", 15.0) == value
