"""Sources of files: exposures chip by chip, products by their weights, plain images; the same by threads."""

from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS
from hapctl.processing.astrometry.detection import detect_sources
from hapctl.processing.errors import MissingFileError, UnusableFileError, UsageProblemError
from hapctl.processing.imaging.image_sources import SettingsChange, find_sources, images_of
from support.data import data_file
from support.star_field import nearest
from support.star_files import exposure_of_stars, product_of_stars


def test_every_chip_of_an_exposure_is_searched(tmp_path: Path) -> None:
    path = tmp_path / "jstars01q_flc.fits"
    fields = exposure_of_stars(path)
    found = find_sources(path)
    assert (found.kind, found.wcs) == ("exposure", "IDC_test")
    assert found.physical[1] == (-100.0, 1.0, 0.0, 1.0)
    for extver, part in found.catalog.by_chip():
        field = fields[extver - 1]
        alone = detect_sources(field.science, field.error, field.quality, found.settings)
        assert np.array_equal(part.x, alone.x)
        assert np.array_equal(part.flags, alone.flags)
        star, distance = nearest(field, part.x[part.usable], part.y[part.usable])
        assert len(np.unique(star[distance < 0.3])) > 55
        header = fits.getheader(path, ("SCI", extver))
        ra, dec = WCS(header).all_pix2world(part.x, part.y, 0)
        assert np.abs(part.ra - ra).max() < 1e-9
        assert np.abs(part.dec - dec).max() < 1e-9


def test_threads_give_the_same_sources(tmp_path: Path) -> None:
    path = tmp_path / "jstars01q_flc.fits"
    exposure_of_stars(path)
    one, two = find_sources(path, threads=1).catalog, find_sources(path, threads=2).catalog
    assert np.array_equal(one.x, two.x)
    assert np.array_equal(one.ra, two.ra)
    assert np.array_equal(one.extver, two.extver)


def test_a_chip_and_settings_may_be_chosen(tmp_path: Path) -> None:
    path = tmp_path / "jstars01q_flc.fits"
    exposure_of_stars(path)
    found = find_sources(path, SettingsChange(threshold=100.0, max_sources=30), extvers=[2])
    assert set(found.detections) == {2}
    assert 0 < len(found.catalog) <= 30
    assert found.catalog.snr.min() > 100
    assert set(images_of(path, [2])) == {2}
    with pytest.raises(UsageProblemError, match="no chip SCI,3"):
        find_sources(path, extvers=[3])


def test_an_exposure_without_a_wcs_keeps_its_pixels(tmp_path: Path) -> None:
    path = tmp_path / "jstars01q_flt.fits"
    exposure_of_stars(path, wcs=False)
    found = find_sources(path)
    assert found.wcs == ""
    assert found.catalog.has_pixels
    assert not found.catalog.has_sky


def test_a_product_is_searched_where_it_has_data(tmp_path: Path) -> None:
    path = tmp_path / "stars_drc.fits"
    field = product_of_stars(path)
    found = find_sources(path)
    catalog = found.catalog
    assert found.kind == "product"
    star, distance = nearest(field, catalog.x[catalog.usable], catalog.y[catalog.usable])
    assert np.median(distance) < 0.05
    inside = ~((field.x < 106) & (field.y < 106)) & (field.flux < 1.2e5)
    assert np.isin(np.nonzero(inside)[0], star[distance < 0.5]).mean() > 0.85
    assert not np.any((catalog.x < 98) & (catalog.y < 98))
    assert np.allclose(catalog.magnitude, -2.5 * np.log10(catalog.flux))
    with pytest.raises(UsageProblemError, match="a product"):
        find_sources(path, extvers=[2])


def test_fluxes_and_errors_of_a_product_are_those_of_its_exposure(tmp_path: Path) -> None:
    path = tmp_path / "stars_drc.fits"
    field = product_of_stars(path)
    found = find_sources(path).catalog
    exposure = detect_sources(field.science, field.error, field.quality)
    star, distance = nearest(field, found.x, found.y)
    other, apart = nearest(field, exposure.x, exposure.y)
    both = np.intersect1d(star[(distance < 0.3) & found.usable], other[(apart < 0.3) & exposure.usable])
    pairs = [(np.nonzero(star == one)[0][0], np.nonzero(other == one)[0][0]) for one in both]
    here, there = np.array(pairs).T
    assert np.median(found.snr[here] / exposure.snr[there]) == pytest.approx(1.0, abs=0.1)
    assert np.median(found.flux[here] * 500.0 / exposure.flux[there]) == pytest.approx(1.0, abs=0.05)


def test_a_plain_image_is_searched(tmp_path: Path) -> None:
    product = tmp_path / "stars_drc.fits"
    product_of_stars(product)
    with fits.open(product) as hdus:
        fits.PrimaryHDU(hdus["SCI"].data, hdus["SCI"].header).writeto(tmp_path / "stars_drc_sci.fits")
    plain = find_sources(tmp_path / "stars_drc_sci.fits")
    assert plain.kind == "product"
    assert plain.catalog.has_sky
    whole = find_sources(product).catalog
    usable = plain.catalog.filtered(snr=(50.0, None))
    assert abs(len(usable) - len(whole.filtered(snr=(50.0, None)))) < 25
    assert images_of(tmp_path / "stars_drc_sci.fits", [1])[1].shape == (300, 300)


@pytest.mark.parametrize(
    ("name", "least"),
    [
        ("hrc_47tuc/j8bt06nyq_flt.fits", 4000),
        ("wfpc2_omegacen/u40x010hm_c0f.fits", 10000),
        ("stis_m33/o4k19a010_flt.fits.gz", 3000),
        ("wfc3ir_goodss/ib6o21qmq_flt.fits.gz", 100),
    ],
)
def test_real_exposures_are_searched(name: str, least: int) -> None:
    found = find_sources(data_file(name)).catalog
    assert np.count_nonzero(found.usable) > least
    assert found.has_sky


def test_files_that_hold_no_image(tmp_path: Path) -> None:
    with pytest.raises(MissingFileError):
        find_sources(tmp_path / "none.fits")
    fits.PrimaryHDU().writeto(tmp_path / "empty.fits")
    (tmp_path / "text.fits").write_text("no")
    for name in ("empty.fits", "text.fits"):
        with pytest.raises(UnusableFileError):
            find_sources(tmp_path / name)
