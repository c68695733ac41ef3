"""Users' lists of stars: spellings, units, and what is refused with a reason."""

import numpy as np
import pytest
from astropy.table import MaskedColumn, Table
from hapctl.archive.errors import NotInCatalogError, RefusedByCatalogError
from hapctl.archive.user_lists import UNKNOWN_ERROR_MAS, read_user_list

RA, DEC = np.array([150.1, 150.2, 150.3]), np.array([-2.1, -2.2, -2.3])


def written(tmp_path, columns, ending=".ecsv"):
    path = tmp_path / f"list{ending}"
    formats = {".ecsv": "ascii.ecsv", ".csv": "ascii.csv", ".vot": "votable", ".fits": "fits"}
    Table(columns, masked=True).write(path, format=formats[ending])
    return path


@pytest.mark.parametrize("ending", [".ecsv", ".csv", ".vot", ".fits"])
def test_positions_are_enough(tmp_path, ending):
    listed = read_user_list(written(tmp_path, {"RA": RA, "DEC": DEC}, ending), 2009.5)
    stars = listed.stars
    np.testing.assert_array_equal(stars.ra, RA)
    assert list(stars.source_id) == ["1", "2", "3"]
    assert set(stars.ref_epoch) == {2009.5}
    assert set(stars.ra_error) == set(stars.dec_error) == {UNKNOWN_ERROR_MAS}
    assert listed.dropped == 0
    assert "it has no epoch: its positions are taken as those of 2009.50" in listed.notes
    assert "ra_error of 3 of 3 rows is unknown and taken as 10 mas" in listed.notes
    assert any("no motions" in note for note in listed.notes)


def test_units_are_honoured(tmp_path):
    columns = {
        "id": ["a", "b", "c"],
        "RAJ2000": MaskedColumn(RA / 15.0, unit="hourangle"),
        "DEJ2000": MaskedColumn(DEC * 60.0, unit="arcmin"),
        "e_RAJ2000": MaskedColumn([0.01, 0.02, 0.03], unit="arcsec"),
        "e_DEJ2000": MaskedColumn([10.0, 20.0, 0.0], unit="uas"),
        "pmRA": MaskedColumn([0.001, 0.002, 0.003], unit="arcsec/yr"),
        "pmDE": MaskedColumn([1.0, 2.0, 3.0], unit="mas/yr"),
        "epoch": MaskedColumn([2010.0, 2011.0, 2012.0], unit="yr"),
        "Vmag": MaskedColumn([20.0, 21.0, 22.0], unit="mag"),
    }
    stars = read_user_list(written(tmp_path, columns), 2000.0).stars
    assert list(stars.source_id) == ["a", "b", "c"]
    np.testing.assert_allclose(stars.ra, RA)
    np.testing.assert_allclose(stars.dec, DEC)
    np.testing.assert_allclose(stars.ra_error, [10.0, 20.0, 30.0])
    np.testing.assert_allclose(stars.dec_error, [0.01, 0.02, UNKNOWN_ERROR_MAS])
    np.testing.assert_allclose(stars.pmra, [1.0, 2.0, 3.0])
    np.testing.assert_array_equal(stars.ref_epoch, [2010.0, 2011.0, 2012.0])
    np.testing.assert_array_equal(stars.phot_g_mean_mag, [20.0, 21.0, 22.0])


def test_gaias_own_names_need_no_unit(tmp_path):
    columns = {"ra": RA, "dec": DEC, "ra_error": [0.1, 0.2, 0.3], "dec_error": [0.1, 0.2, 0.3]}
    columns |= {"pmra": [1.0, np.nan, 3.0], "pmdec": [1.0, 2.0, 3.0], "ref_epoch": [2016.0] * 3}
    stars = read_user_list(written(tmp_path, columns, ".csv"), 2000.0).stars
    np.testing.assert_allclose(stars.ra_error, [0.1, 0.2, 0.3])
    assert list(np.isfinite(stars.pmra)) == [True, False, True]
    assert set(stars.ref_epoch) == {2016.0}


def test_sexagesimal_positions(tmp_path):
    columns = {
        "ra": ["10:00:24.0", "10 00 48.0", "10h01m12.0s"],
        "dec": ["-02:06:00", "-02 12 00", "-02d18m00s"],
    }
    stars = read_user_list(written(tmp_path, columns, ".csv"), 2010.0).stars
    np.testing.assert_allclose(stars.ra, RA, atol=1e-9)
    np.testing.assert_allclose(stars.dec, DEC, atol=1e-9)


def test_dates_are_epochs_too(tmp_path):
    columns = {"ra": RA, "dec": DEC, "mjd": [51544.5, 55197.0, 58849.5]}
    stars = read_user_list(written(tmp_path, columns), 2000.0).stars
    np.testing.assert_allclose(stars.ref_epoch, [2000.0, 2010.0, 2020.0], atol=1e-6)


def test_rows_without_a_position_are_counted(tmp_path):
    columns = {
        "ra": MaskedColumn([*RA, np.nan, 1.0]),
        "dec": MaskedColumn([*DEC, 1.0, 1.0], mask=[0, 0, 0, 0, 1]),
    }
    listed = read_user_list(written(tmp_path, columns), 2010.0)
    assert (len(listed.stars), listed.dropped) == (3, 2)
    assert "2 of 5 rows have no position and are left out" in listed.notes


def test_identifiers_that_repeat_are_numbers(tmp_path):
    columns = {"name": ["a", "a", "b"], "ra": RA, "dec": DEC}
    assert list(read_user_list(written(tmp_path, columns), 2010.0).stars.source_id) == ["1", "2", "3"]


BAD = {
    "no positions": ({"x": RA, "y": DEC}, "has no column ra and none dec; it has x, y"),
    "half a position": ({"ra": RA, "y": DEC}, "has no column dec"),
    "an error without unit": (
        {"ra": RA, "dec": DEC, "e_RA": [0.1] * 3},
        "column e_ra has no unit: give it one .*, or name it ra_error if it is in mas",
    ),
    "a motion without unit": ({"ra": RA, "dec": DEC, "mu_ra": [0.1] * 3}, "column mu_ra has no unit"),
    "a wrong unit": (
        {"ra": RA, "dec": DEC, "ra_error": MaskedColumn([1.0] * 3, unit="mag")},
        "the unit 'mag' of column ra_error is no unit of mas",
    ),
    "positions in radians, said to be degrees": ({"ra": RA + 300.0, "dec": DEC}, "ra is not in 0 to 360 deg"),
    "one motion": ({"ra": RA, "dec": DEC, "pmra": [1.0] * 3}, "only one of pmra and pmdec"),
    "no row": ({"ra": [np.nan], "dec": [1.0]}, "none of its 1 rows has a position"),
    "words": ({"ra": ["here", "there"], "dec": [1.0, 2.0]}, "column ra holds no numbers"),
    "errors beyond reason": (
        {"ra": RA, "dec": DEC, "ra_error": MaskedColumn([1.0] * 3, unit="deg")},
        "ra_error is not in 0 to 10000 mas",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_what_makes_no_sense_is_refused(tmp_path, name):
    columns, message = BAD[name]
    with pytest.raises(RefusedByCatalogError, match=message) as caught:
        read_user_list(written(tmp_path, columns), 2010.0)
    assert caught.value.remedy.startswith("columns ra and dec (degrees)")


def test_what_is_no_table_is_refused(tmp_path):
    (tmp_path / "list.ecsv").write_text("not a table\n")
    (tmp_path / "list.doc").write_text("1 2\n")
    with pytest.raises(RefusedByCatalogError, match=r"can't be read as \.ecsv"):
        read_user_list(tmp_path / "list.ecsv", 2010.0)
    with pytest.raises(RefusedByCatalogError, match="its ending is none of"):
        read_user_list(tmp_path / "list.doc", 2010.0)
    with pytest.raises(NotInCatalogError, match="there is no file"):
        read_user_list(tmp_path / "nothing.csv", 2010.0)
