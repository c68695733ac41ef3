"""Pictures of an alignment: what they show is what was given, on any input, and files are whole."""

from pathlib import Path

import numpy as np
import pytest
from hapctl.processing.astrometry.alignment_plots import (
    binned_medians,
    offset_histogram,
    residual_vectors,
    residuals_against,
    transfer_map,
    wcs_difference,
)
from hapctl.processing.astrometry.blink_plots import Cutout, cut_out, cutout_frame, save_blink
from hapctl.processing.astrometry.figure_style import figure_bytes, robust_limit, round_number, save
from hapctl.processing.astrometry.mapping import pixel_to_sky
from hapctl.processing.astrometry.solution import ChipWcs
from hapctl.processing.astrometry.star_residuals import StarResiduals, detector_vectors, joined
from hapctl.processing.errors import RefusedError, UsageProblemError
from hapctl.processing.whole_files import write_new
from matplotlib.figure import Figure
from PIL import Image

SCALE = 0.05 / 3600


def residuals(count: int, seed: int = 1, **columns: np.ndarray) -> StarResiduals:
    """Rows with random residuals of 1 mas; given columns replace them."""
    random = np.random.default_rng(seed)
    values = {name: random.normal(0, 1, count) for name in ("east", "north", "along_x", "along_y")}
    values |= {name: random.uniform(0, 2000, count) for name in ("x", "y")}
    values |= {name: random.uniform(-100, 100, count) for name in ("xi", "eta")}
    values |= {
        "errors": np.ones(count),
        "weights": np.ones(count),
        "magnitudes": random.uniform(16, 24, count),
    }
    values |= {"colours": np.full(count, np.nan), "epochs": np.full(count, 2010.0)}
    numbers = {"exposure": np.zeros(count, dtype=np.intp), "extver": np.ones(count, dtype=np.int64)}
    return StarResiduals(**numbers, **(values | columns))


def texts(figure: Figure) -> str:
    """All words of a figure."""
    words = [figure.get_suptitle()]
    for axes in figure.axes:
        words += [axes.get_title(), axes.get_xlabel(), axes.get_ylabel(), *(t.get_text() for t in axes.texts)]
    return " | ".join(words)


def test_vectors_tell_number_and_rms_of_the_used_stars() -> None:
    count = 60
    weights = np.ones(count)
    weights[:5] = 0
    east, north = np.full(count, 3.0), np.full(count, -4.0)
    east[:5] = 500.0
    figure = residual_vectors(residuals(count, east=east, north=north, weights=weights), title="visit")
    assert "55 stars, rms 3.00 / 4.00 mas" in texts(figure)
    assert "east (arcsec)" in texts(figure)
    field, scatter = figure.axes
    assert field.get_xlim()[0] > field.get_xlim()[1]  # east to the left
    assert max(map(abs, scatter.get_xlim())) < 10  # the rejected do not spoil the limits


def test_panels_without_values_are_left_out() -> None:
    figure = residuals_against(residuals(200))
    words = texts(figure)
    assert "colour" not in words
    assert "epoch" not in words  # all of one epoch
    assert all(name in words for name in ("x (pixel)", "y (pixel)", "magnitude"))
    assert "epoch (year)" in texts(residuals_against(residuals(200, epochs=np.repeat([2010.0, 2014.0], 100))))
    assert "colour (mag)" in texts(residuals_against(residuals(200, colours=np.linspace(0, 1, 200))))


def test_a_trend_shows_in_the_medians_and_noise_does_not() -> None:
    random = np.random.default_rng(3)
    x = random.uniform(0, 100, 2400)
    places, medians, errors = binned_medians(x, 0.1 * x + random.normal(0, 1, 2400))
    assert np.all(np.abs(medians - 0.1 * places) < 4 * errors + 0.05)
    _, medians, errors = binned_medians(x, random.normal(0, 1, 2400))
    assert np.sqrt(np.mean((medians / errors) ** 2)) < 2.0
    assert np.allclose(binned_medians(np.repeat([1.0, 4.0], 30), np.repeat([2.0, 5.0], 30))[1], [2.0, 5.0])


def test_charge_transfer_shows_as_a_gradient() -> None:
    random = np.random.default_rng(4)
    y, magnitude = random.uniform(0, 2048, 4000), random.uniform(18, 24, 4000)
    along = 2.0 * (y / 2048) * (magnitude - 18) / 6 + random.normal(0, 0.1, 4000)
    mesh = transfer_map(y, magnitude, along).axes[0].collections[0]
    cells = np.asarray(mesh.get_array())  # rows are magnitudes
    assert cells[-1, -1] == pytest.approx(1.8, abs=0.2)
    assert abs(cells[0, 0]) < 0.1


def test_the_histogram_is_of_all_pairs_and_marks_the_offset() -> None:
    random = np.random.default_rng(5)
    offsets = np.concatenate([random.uniform(-1, 1, (3000, 2)), random.normal([0.3, -0.2], 0.005, (80, 2))])
    figure = offset_histogram(offsets, radius=1.0, peak=np.array([0.3, -0.2]))
    whole = np.asarray(figure.axes[0].collections[0].get_array())
    row, column = np.unravel_index(np.argmax(whole), whole.shape)
    assert abs((column + 0.5) / 40 - 1 - 0.3) < 0.03
    assert abs((row + 0.5) / 40 - 1 + 0.2) < 0.03
    assert "(+0.300, -0.200) arcsec" in texts(figure)
    assert "no offset was found" in texts(offset_histogram(offsets, radius=1.0))


def test_a_difference_tells_its_mean() -> None:
    points = np.random.default_rng(6).uniform(-100, 100, (40, 2))
    figure = wcs_difference(points, points * 0.01 + [30.0, 40.0] - points.mean(axis=0) * 0.01)
    assert "+30.00 east, +40.00 north: 50.00 mas" in texts(figure)


@pytest.mark.parametrize("count", [0, 1, 3])
def test_few_or_no_stars_still_make_a_picture(count: int) -> None:
    stars = residuals(count)
    for figure in (
        residual_vectors(stars),
        residuals_against(stars),
        transfer_map(stars.y, stars.magnitudes, stars.along_y),
        offset_histogram(np.ones((count, 2)), radius=1.0),
        wcs_difference(np.ones((count, 2)), np.zeros((count, 2))),
    ):
        assert figure_bytes(figure).startswith(b"\x89PNG")


def test_files_are_by_the_end_of_their_name_and_the_same_each_time(tmp_path: Path) -> None:
    for name, start in (("a.png", b"\x89PNG"), ("a.pdf", b"%PDF"), ("a.svg", b"<?xml")):
        save(residual_vectors(residuals(30)), tmp_path / name)
        assert (tmp_path / name).read_bytes().startswith(start)
    assert figure_bytes(residual_vectors(residuals(30))) == (tmp_path / "a.png").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.pdf", "a.png", "a.svg"]
    with pytest.raises(UsageProblemError, match="doc"):
        save(residual_vectors(residuals(30)), tmp_path / "a.doc")


def test_older_files_are_not_lost(tmp_path: Path) -> None:
    path = write_new(tmp_path / "new" / "a.txt", "one\n")
    with pytest.raises(RefusedError, match="there already"):
        write_new(path, "two\n")
    write_new(path, b"three\n", overwrite=True)
    assert path.read_text() == "three\n"
    path.chmod(0o600)
    with pytest.raises(RefusedError, match="can't be written"):
        write_new(path / "below", "x")


def test_limits_are_robust_and_lengths_round() -> None:
    values = np.append(np.linspace(-1, 1, 999), 1000.0)
    assert 1.0 < robust_limit(values) < 2.0
    assert robust_limit(np.array([np.nan])) > 0
    assert [round_number(value) for value in (7.3, 4.9, 0.0021, 10.0)] == [5.0, 2.0, 0.002, 10.0]


def test_vectors_along_the_detector() -> None:
    angle = np.radians(30.0)
    cd = SCALE * np.array([[-np.cos(angle), np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    chip = ChipWcs(1, 1, (50, 60), (30.0, 25.0), (10.0, 20.0), tuple(cd.ravel()))
    up = cd[:, 1] / SCALE  # where a step along y goes, east and north
    along = detector_vectors([chip], np.array([1, 2]), np.array([7 * up, up]))
    assert along[0] == pytest.approx([0.0, 7.0])
    assert np.isnan(along[1]).all()


def test_rows_are_joined_in_order() -> None:
    both = joined([residuals(3), residuals(4, seed=2)])
    assert len(both) == 7
    assert np.array_equal(both.x[3:], residuals(4, seed=2).x)
    assert both.used.all()


def test_cutouts_have_the_star_in_the_middle_north_up(tmp_path: Path) -> None:
    chip = ChipWcs(1, 1, (60, 60), (30.5, 30.5), (150.0, 60.0), (-SCALE, 0.0, 0.0, SCALE))
    rows, columns = np.mgrid[:60, :60]
    image = np.exp(-((columns - 25.0) ** 2 + (rows - 35.0) ** 2) / 3.0)
    image += 0.5 * np.exp(-((columns - 25.0) ** 2 + (rows - 41.0) ** 2) / 3.0)  # a fainter one 0.3" north
    ra, dec = pixel_to_sky(chip, np.array([25.0]), np.array([35.0]))
    cut = cut_out(image, chip, (float(ra[0]), float(dec[0])))
    assert np.unravel_index(np.argmax(cut.image), cut.image.shape) == (20, 20)
    assert cut.image[30, 20] > 0.4
    frames = [
        cutout_frame([[cut, None]], row_names=["first"], column_names=["a", "b"], title=title)
        for title in ("before", "after")
    ]
    frames[1] = cutout_frame(
        [[Cutout(np.full((3, 3), np.nan), 0.6), cut]], row_names=["1"], column_names="ab"
    )
    for name in ("blink.png", "blink.gif"):
        save_blink(frames, tmp_path / name)
        with Image.open(tmp_path / name) as shown:
            assert shown.n_frames == 2
