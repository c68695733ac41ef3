"""Catalogs of sources: made, narrowed, put on the sky, matched, saved and read again."""

from pathlib import Path

import numpy as np
import pytest
from astropy.io import ascii as ascii_tables
from astropy.table import Table
from hapctl.processing.astrometry.catalog_files import (
    ListColumns,
    read_catalog,
    regions_text,
    write_catalog,
)
from hapctl.processing.astrometry.catalog_plots import KINDS, kinds_of, source_picture
from hapctl.processing.astrometry.detection import UNFIT, SourceFlag, detect_sources
from hapctl.processing.astrometry.ds9_regions import parse_regions
from hapctl.processing.astrometry.mapping import pixel_to_sky
from hapctl.processing.astrometry.solution import ChipWcs, WcsSolution
from hapctl.processing.astrometry.source_catalog import FLOAT_COLUMNS, SourceCatalog
from hapctl.processing.errors import MissingFileError, RefusedError, UnusableFileError, UsageProblemError
from hypothesis import given
from hypothesis import strategies as st
from support.star_field import StarField, star_field
from support.synthetic_chips import distorted_chip


@pytest.fixture(scope="module")
def field() -> StarField:
    return star_field(shape=(300, 400), stars=120, cosmic_rays=60, seed=2)


@pytest.fixture(scope="module")
def catalog(field: StarField) -> SourceCatalog:
    return SourceCatalog.from_chip(
        field.science, field.error, field.quality, exposure_time=100.0, name="some/a_flt.fits"
    )


@pytest.fixture(scope="module")
def chip() -> ChipWcs:
    return distorted_chip((300, 400))


def test_a_chip_gives_what_the_finder_finds(field: StarField, catalog: SourceCatalog) -> None:
    found = detect_sources(field.science, field.error, field.quality)
    for name in ("x", "y", "x_err", "y_err", "flux", "snr", "sharpness", "flags"):
        assert np.array_equal(getattr(catalog, name), getattr(found, name)), name
    assert np.array_equal(catalog.usable, found.usable)
    assert np.allclose(catalog.magnitude, -2.5 * np.log10(found.flux / 100.0))
    assert abs(np.median(catalog.roundness[catalog.usable])) < 0.1
    assert catalog.shapes == {1: (300, 400)}
    row, column = np.rint(catalog.y).astype(int), np.rint(catalog.x).astype(int)
    assert np.array_equal(catalog.peak, field.science[row, column])
    assert not catalog.has_sky


def test_errors_and_flags_may_be_missing(field: StarField) -> None:
    bare = SourceCatalog.from_chip(field.science)
    assert np.count_nonzero(bare.usable) > 60


@given(
    low=st.none() | st.floats(0, 100),
    high=st.none() | st.floats(0, 100),
    column=st.sampled_from(["flux", "snr", "magnitude", "peak", "sharpness", "roundness"]),
)
def test_ranges_hold_their_ends(low: float | None, high: float | None, column: str) -> None:
    values = np.append(np.arange(0.0, 101.0, 5.0), np.nan)
    catalog = SourceCatalog.from_columns(x=values, y=values, **{column: values})
    kept = getattr(catalog.filtered(**{column: (low, high)}), column)
    if low is None and high is None:
        assert len(kept) == len(values)
    else:
        expected = [v for v in values[:-1] if (low is None or v >= low) and (high is None or v <= high)]
        assert kept.tolist() == expected


def test_flags_and_boxes_narrow_and_nothing_changes(catalog: SourceCatalog) -> None:
    before = len(catalog)
    assert catalog.filtered(without=UNFIT).usable.all()
    assert len(catalog.filtered(without=UNFIT)) == np.count_nonzero(catalog.usable)
    inside = catalog.filtered(box=(100, 50, 200, 150))
    assert 0 < len(inside) < before
    assert inside.x.min() >= 100
    assert inside.y.max() <= 150
    assert len(catalog) == before
    with pytest.raises(AttributeError):
        catalog.x = catalog.y  # type: ignore[misc]


def test_the_brightest_come_first(catalog: SourceCatalog) -> None:
    few = catalog.brightest(7)
    assert few.flux.tolist() == sorted(catalog.flux.tolist(), reverse=True)[:7]
    by_magnitude = SourceCatalog.from_columns(x=[1, 2, 3], y=[1, 2, 3], magnitude=[20.0, 18.0, 19.0])
    assert by_magnitude.brightest(2).x.tolist() == [2, 3]
    assert len(catalog.brightest(0)) == 0


def test_regions_on_one_chip_leave_the_other_alone() -> None:
    both = SourceCatalog.from_columns(x=[5, 50, 5, 50], y=[5, 50, 5, 50], extver=[1, 1, 2, 2])
    corner = parse_regions("image;circle(6,6,10)")
    assert both.excluded(corner).x.tolist() == [50, 50]
    assert both.excluded(corner, extver=2).extver.tolist() == [1, 1, 2]
    assert both.included(corner, extver=1).x.tolist() == [5, 5, 50]


def test_regions_need_places_in_their_frame() -> None:
    sky = SourceCatalog.from_columns(ra=[10.0], dec=[20.0])
    with pytest.raises(UsageProblemError, match="no pixels"):
        sky.excluded(parse_regions("image;circle(1,1,1)"))
    pixels = SourceCatalog.from_columns(x=[10.0], y=[20.0])
    with pytest.raises(UsageProblemError, match="no sky"):
        pixels.included(parse_regions('icrs;circle(1,1,1")'))


def test_the_sky_is_that_of_the_mapping(catalog: SourceCatalog, chip: ChipWcs) -> None:
    solution = WcsSolution("j0", "IDC_test", (chip,))
    sky = catalog.with_sky(solution)
    ra, dec = pixel_to_sky(chip, catalog.x, catalog.y)
    assert np.array_equal(sky.ra, ra)
    assert np.array_equal(sky.dec, dec)
    back = SourceCatalog.from_columns(ra=np.append(ra, ra[0] + 1.0), dec=np.append(dec, dec[0])).with_pixels(
        chip
    )
    assert len(back) == len(catalog)
    assert np.abs(back.x - catalog.x).max() < 1e-6
    circle = parse_regions(f'icrs;circle({ra[3]},{dec[3]},0.1")')
    assert len(sky.excluded(circle)) == len(sky) - 1
    with pytest.raises(UsageProblemError, match="no chip SCI,7"):
        SourceCatalog.from_columns(x=[1.0], y=[1.0], extver=7).with_sky(solution)
    assert SourceCatalog.from_columns(x=[1.0], y=[1.0]).with_sky(solution).has_sky  # the only chip


def test_a_source_list_for_the_match(catalog: SourceCatalog, chip: ChipWcs) -> None:
    solution = WcsSolution("j0", "IDC_test", (chip,))
    listed = catalog.source_list(solution, most=20)
    scale = 3600.0 * np.sqrt(abs(np.linalg.det(chip.cd_matrix)))
    best = catalog.brightest(20)
    assert np.array_equal(listed.x, best.x)
    assert np.allclose(listed.errors, scale * np.sqrt(0.5 * (best.x_err**2 + best.y_err**2)))
    plain = SourceCatalog.from_columns(x=[10.0, 20.0], y=[5.0, 6.0]).source_list(solution, default_error=0.2)
    assert np.allclose(plain.errors, 0.2 * scale)
    assert listed.detected == len(catalog)


def test_catalogs_of_chips_are_joined(catalog: SourceCatalog) -> None:
    other = SourceCatalog.from_columns(x=[1.0], y=[2.0], extver=2, shapes={2: (10, 10)})
    both = SourceCatalog.joined([catalog, other])
    assert len(both) == len(catalog) + 1
    assert [extver for extver, _ in both.by_chip()] == [1, 2]
    assert set(both.shapes) == {1, 2}
    assert len(SourceCatalog.joined([])) == 0


def test_columns_must_fit() -> None:
    for columns in ({"x": [1.0]}, {"x": [1.0], "y": [1.0], "colour": [2.0]}, {"x": [1.0], "y": [1.0, 2.0]}):
        with pytest.raises(UsageProblemError):
            SourceCatalog.from_columns(**columns)


def test_ecsv_is_read_as_it_was_written(catalog: SourceCatalog, chip: ChipWcs, tmp_path: Path) -> None:
    sky = catalog.with_sky(WcsSolution("j0", "IDC_test", (chip,)))
    path = sky.save(tmp_path / "a.ecsv")
    again = read_catalog(path)
    for name in FLOAT_COLUMNS:
        assert np.allclose(getattr(again, name), getattr(sky, name), rtol=0, atol=6e-6, equal_nan=True), name
    assert np.abs(again.ra - sky.ra).max() < 1e-10
    assert np.array_equal(again.flags, sky.flags)
    assert np.array_equal(again.extver, sky.extver)
    assert Table.read(path).meta["pixel_origin"] == 0
    with pytest.raises(RefusedError, match="there already"):
        write_catalog(path, sky)
    write_catalog(path, sky.brightest(3), overwrite=True)
    assert len(read_catalog(path)) == 3


def test_regions_are_circles_round_the_sources(catalog: SourceCatalog, tmp_path: Path) -> None:
    path = catalog.save(tmp_path / "a.reg")
    text = path.read_text()
    assert text.count("color=red") == np.count_nonzero(~catalog.usable)
    again = read_catalog(path)
    assert np.abs(again.x - catalog.x).max() < 6e-4
    assert len(catalog.excluded(parse_regions(text))) == 0
    with pytest.raises(UsageProblemError, match="icrs"):
        regions_text(catalog, frame="icrs")


def test_sources_of_two_chips_are_drawn_on_the_sky() -> None:
    shapes = {1: (10, 10), 2: (10, 10)}
    both = SourceCatalog.from_columns(
        x=[1.0, 2.0], y=[1.0, 2.0], ra=[10.0, 10.001], dec=[5.0, 5.001], extver=[1, 2], shapes=shapes
    )
    regions = parse_regions(regions_text(both)).regions
    assert [region.frame for region in regions] == ["icrs", "icrs"]
    assert regions[1].points[0].tolist() == [10.001, 5.001]
    with pytest.raises(UsageProblemError, match="of one chip"):
        regions_text(both, frame="image")
    without_sky = SourceCatalog.from_columns(x=[1.0, 2.0], y=[1.0, 2.0], extver=[1, 2], shapes=shapes)
    with pytest.raises(UsageProblemError, match="frame icrs"):
        regions_text(without_sky)
    assert "image" in regions_text(without_sky.chosen(slice(0, 1))).splitlines()


X, Y, FLUX = np.array([10.5, 20.25, 30.0]), np.array([5.0, 6.5, 7.75]), np.array([100.0, 50.0, 200.0])


@pytest.mark.parametrize("ending", ["csv", "ecsv", "fits", "txt", "dat"])
def test_lists_of_others_count_from_one(ending: str, tmp_path: Path) -> None:
    path = tmp_path / f"list.{ending}"
    table = Table({"X_IMAGE": X, "Y_IMAGE": Y, "FLUX_AUTO": FLUX})
    if ending in ("txt", "dat"):
        path.write_text("# x y flux\n10.5 5 100\n20.25, 6.5, 50 # a comment\n\n30 7.75 200\n")
        found = read_catalog(path, ListColumns(flux=3))
    else:
        table.write(path, format={"csv": "ascii.csv", "ecsv": "ascii.ecsv", "fits": "fits"}[ending])
        found = read_catalog(path)
    assert np.array_equal(found.x, X - 1)
    assert np.array_equal(found.y, Y - 1)
    assert np.array_equal(found.flux, FLUX)
    again = read_catalog(path, ListColumns(1, 2, 3, first_pixel=0.0), extver=2)
    assert np.array_equal(again.x, X)
    assert again.extver.tolist() == [2, 2, 2]


def test_the_columns_of_photutils_count_from_zero(tmp_path: Path) -> None:
    path = tmp_path / "dao.csv"
    Table({"id": [1, 2, 3], "xcentroid": X, "ycentroid": Y, "mag": FLUX}).write(path, format="ascii.csv")
    found = read_catalog(path)
    assert np.array_equal(found.x, X)
    assert np.array_equal(found.magnitude, FLUX)


def test_sky_lists_in_degrees_and_sexagesimal(tmp_path: Path) -> None:
    path = tmp_path / "sky.csv"
    Table({"ra": [10.0, 11.0], "dec": [-5.0, -5.5], "x": [1.0, 2.0]}).write(path, format="ascii.csv")
    assert read_catalog(path, ListColumns(units="degrees")).ra.tolist() == [10.0, 11.0]
    path = tmp_path / "sky.coo"
    path.write_text("0:40:00 -05:30:00\n0:44:00 -05:15:00\n")
    found = read_catalog(path, ListColumns(1, 2, units="degrees"))
    assert found.ra == pytest.approx([10.0, 11.0])
    assert found.dec == pytest.approx([-5.5, -5.25])
    assert not found.has_pixels
    points = tmp_path / "sky.reg"
    points.write_text('icrs\npoint(10,-5)\n-point(3,3)\ncircle(0:44:00,-5.5,3")\n')
    assert read_catalog(points).ra == pytest.approx([10.0, 11.0])


def test_rows_without_a_position_are_left_out(tmp_path: Path) -> None:
    path = tmp_path / "holes.ecsv"
    ascii_tables.write(Table({"x": [1.0, np.nan, 3.0], "y": [1.0, 2.0, 3.0]}), path, format="ecsv")
    assert read_catalog(path).x.tolist() == [0.0, 2.0]


@pytest.mark.parametrize(
    ("name", "text", "columns", "words"),
    [
        ("a.csv", "a,b\n1,2\n", ListColumns(), "no columns x and y"),
        ("a.csv", "x,y\n1,2\n", ListColumns(x="xx"), "no column 'xx'"),
        ("a.txt", "1 2\n3 4\n", ListColumns(x=3), "no column 3"),
        ("a.txt", "one two\n", ListColumns(), "holds no numbers"),
        ("a.csv", "ra,dec\n300,4000\n", ListColumns(), "no degrees"),
        ("a.csv", "x,y\nnan,1\n", ListColumns(), "no row with a position"),
        ("a.reg", "image\nbox(1,2,3,4,5)\n", ListColumns(), "no points"),
        ("a.reg", "image\npoint(1,2)\nicrs\npoint(1,2)\n", ListColumns(), "mixes"),
    ],
)
def test_what_is_wrong_with_a_list_is_said(
    name: str, text: str, columns: ListColumns, words: str, tmp_path: Path
) -> None:
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(UsageProblemError) as caught:
        read_catalog(path, columns)
    assert words in caught.value.message
    assert name in caught.value.message


@pytest.mark.parametrize(
    ("name", "content"), [("a.txt", b"1 2\n3\n"), ("a.fits", b"no"), ("a.ecsv", b"\xff\xfe"), ("b.txt", b"")]
)
def test_files_that_are_no_lists(name: str, content: bytes, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(UnusableFileError, match=name):
        read_catalog(path)
    with pytest.raises(MissingFileError):
        read_catalog(tmp_path / "none.csv")


def test_kinds_follow_the_flags() -> None:
    flags = [0, SourceFlag.SATURATED | SourceFlag.EXTENDED, SourceFlag.COSMIC_RAY, SourceFlag.EXTENDED]
    flags += [SourceFlag.EDGE, SourceFlag.NEAR_SATURATED, SourceFlag.HOT_PIXEL]
    places = np.arange(7.0)
    kinds = kinds_of(SourceCatalog.from_columns(x=places, y=places, flags=[int(flag) for flag in flags]))
    assert [KINDS[kind][0].split(",")[0] for kind in kinds] == [
        "star", "saturated", "cosmic ray", "galaxy", "otherwise flagged", "star", "cosmic ray",
    ]  # fmt: skip


@pytest.mark.parametrize("ending", ["png", "pdf", "svg"])
def test_a_picture_is_drawn(ending: str, field: StarField, catalog: SourceCatalog, tmp_path: Path) -> None:
    path = tmp_path / f"a.{ending}"
    catalog.plot(path, {1: field.science})
    heads = {"png": b"\x89PNG", "pdf": b"%PDF", "svg": b"<?xml"}
    assert path.read_bytes().startswith(heads[ending])
    assert path.stat().st_size > 20_000


def test_a_picture_shows_every_source_and_chip(catalog: SourceCatalog) -> None:
    both = SourceCatalog.joined(
        [catalog, SourceCatalog.from_columns(x=[1.0], y=[2.0], extver=2, shapes={2: (300, 400)})]
    )
    figure = source_picture(both)
    panels = [axes for axes in figure.subfigs[0].axes if axes.get_visible()]
    drawn = [sum(len(marks.get_offsets()) for marks in axes.collections) for axes in panels]
    assert drawn == [1, len(catalog)]  # SCI,2 above SCI,1
    assert f"{len(both)} sources" in figure.get_suptitle()
    for empty in (SourceCatalog.from_columns(x=[], y=[]), SourceCatalog.from_columns(ra=[1.0], dec=[2.0])):
        assert source_picture(empty).subfigs[0].axes
