"""Files of sources: every format gives the same stars, and what is not right is refused by name."""

import gzip

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
from astropy import units as u
from astropy.table import MaskedColumn
from hapctl.archive.gaia_columns import BadTableError, read_table, stars_from_table
from hapctl.processing.astrometry.reference_stars import CORRELATION_NAMES
from support.data import data_file
from support.gaia_table import synthetic_sky


@pytest.fixture
def sources():
    table = synthetic_sky(150.0, 2.0, 0.05, 30)[:200]
    table["bp_rp"].mask[5] = True
    return table


def write_parquet(table, path):
    arrays = [
        pyarrow.array(np.asarray(table[name]), mask=np.array(table[name].mask)) for name in table.colnames
    ]
    pyarrow.parquet.write_table(pyarrow.table(arrays, names=table.colnames), path)


WRITERS = {
    "sources.ecsv": lambda table, path: table.write(path, format="ascii.ecsv"),
    "sources.fits": lambda table, path: table.write(path, format="fits"),
    "sources.vot": lambda table, path: table.write(path, format="votable"),
    "sources.xml": lambda table, path: table.write(path, format="votable", tabledata_format="binary2"),
    "sources.csv": lambda table, path: table.write(path, format="ascii.csv"),
    "sources.parquet": write_parquet,
}


@pytest.mark.parametrize("name", WRITERS)
def test_every_format_gives_the_same_stars(sources, tmp_path, name):
    WRITERS[name](sources, tmp_path / name)
    stars = stars_from_table(read_table(tmp_path / name), 2016.0)
    expected = sources[np.argsort(np.array(sources["source_id"]).astype(str))]
    assert list(stars.source_id) == [str(value) for value in expected["source_id"]]
    for column in ("ra", "dec", "pmra", "pmdec_error", "parallax", "bp_rp", "ruwe", "ref_epoch"):
        wanted = np.ma.filled(expected[column].astype(float), np.nan)
        assert np.allclose(getattr(stars, column), wanted, rtol=1e-15, equal_nan=True), column
    for index, column in enumerate(CORRELATION_NAMES):
        wanted = np.ma.filled(expected[column].astype(float), np.nan)
        assert np.allclose(stars.correlations[:, index], wanted, rtol=1e-6, equal_nan=True)
    assert (stars.duplicated_source == np.array(expected["duplicated_source"])).all()
    assert (stars.params_solved == np.array(expected["astrometric_params_solved"])).all()
    assert np.isnan(stars.pmra).sum() == np.count_nonzero(expected["pmra"].mask) > 10


def test_a_compressed_table_is_read_too(sources, tmp_path):
    sources.write(tmp_path / "plain.ecsv", format="ascii.ecsv")
    path = tmp_path / "sources.ecsv.gz"
    path.write_bytes(gzip.compress((tmp_path / "plain.ecsv").read_bytes()))
    assert len(stars_from_table(read_table(path), 2016.0)) == 200


def test_csv_of_the_gaia_archive(tmp_path):
    path = tmp_path / "gaia.csv"
    path.write_text(
        "SOURCE_ID,ra,dec,pmra,pmdec,ruwe,duplicated_source\n"
        '4689639266848574080,6.0231,-72.0812,null,null,null,"false"\n'
        '4689639266844741376,6.0213,-72.0817,5.66,-2.76,1.1,"true"\n'
    )
    stars = stars_from_table(read_table(path), 2015.5)
    assert list(stars.source_id) == ["4689639266844741376", "4689639266848574080"]
    assert stars.pmra[0] == 5.66
    assert np.isnan(
        [stars.pmra[1], stars.pmdec[1], stars.ruwe[1], stars.ra_error[0], stars.parallax[0]]
    ).all()
    assert list(stars.duplicated_source) == [True, False]
    assert list(stars.ref_epoch) == [2015.5, 2015.5]
    assert list(stars.params_solved) == [-1, -1]


def test_the_real_extract():
    table = read_table(data_file("hrc_47tuc/gaia_dr3_47tuc_core.ecsv"))
    stars = stars_from_table(table, 2016.0)
    assert len(stars) == 112
    assert np.isfinite(stars.pmra).sum() == 49
    assert np.isnan(stars.pmra_error).all()
    assert np.isnan(stars.correlations).all()
    assert set(stars.params_solved) <= {3, 31, 95}


def test_units_are_honoured(sources):
    expected = stars_from_table(sources, 2016.0)
    for name, unit in (("ra", "hourangle"), ("dec", "rad"), ("pmra", "arcsec / yr"), ("ra_error", "deg")):
        sources[name] = MaskedColumn(
            sources[name].quantity.to_value(unit), mask=sources[name].mask, unit=unit
        )
    stars = stars_from_table(sources, 2016.0)
    for name in ("ra", "dec", "pmra", "ra_error"):
        assert np.allclose(getattr(stars, name), getattr(expected, name), rtol=1e-12, equal_nan=True)


@pytest.mark.parametrize("version", ["1.3", "1.4"])
@pytest.mark.parametrize("unit", ["mas.yr**-1", "mas/yr", "mas.yr-1", "mas yr-1", "mas / yr"])
def test_units_are_read_in_every_spelling(tmp_path, version, unit):
    """The Gaia archive and its mirrors write VOUnits whatever the version of the VOTable says."""
    fields = {"source_id": ("long", ""), "ra": ("double", "deg"), "dec": ("double", "deg")}
    fields |= {"pmra": ("double", unit), "pmdec": ("double", unit), "ref_epoch": ("double", "yr")}
    headers = "".join(
        f'<FIELD name="{name}" datatype="{kind}" unit="{unit}"/>' for name, (kind, unit) in fields.items()
    )
    cells = "".join(f"<TD>{value}</TD>" for value in (4583627001381815936, 268.07, 26.51, -8.5, 2.5, 2016.0))
    path = tmp_path / "answer.vot"
    path.write_text(
        f'<VOTABLE version="{version}" xmlns="http://www.ivoa.net/xml/VOTable/v1.3"><RESOURCE type="results">'
        f'<INFO name="QUERY_STATUS" value="OK"/><TABLE>{headers.replace(chr(32) + "unit=" + chr(34) * 2, "")}'
        f"<DATA><TABLEDATA><TR>{cells}</TR></TABLEDATA></DATA></TABLE></RESOURCE></VOTABLE>"
    )
    stars = stars_from_table(read_table(path), 2015.5)
    assert stars.source_id[0] == "4583627001381815936"
    assert (stars.pmra[0], stars.pmdec[0], stars.ref_epoch[0]) == (-8.5, 2.5, 2016.0)


def spoiled(table, name, values, unit=None):
    table[name] = MaskedColumn(values, unit=unit)
    return table


def changed(table, name, row, value):
    table[name][row] = value
    return table


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda t: t["source_id", "dec"], "no column ra"),
        (lambda t: t["ra", "dec"], "no column source_id"),
        (lambda t: changed(t, "ra", 3, np.nan), "ra is not a number in 1 of 200"),
        (lambda t: changed(t, "dec", 3, np.ma.masked), "dec is not a number in 1 of 200"),
        (lambda t: changed(t, "dec", 3, 91.0), "dec is not in -90 to 90"),
        (lambda t: changed(t, "ra", 3, -1.0), "ra is not in 0 to 360"),
        (lambda t: changed(t, "ra_error", 3, -0.1), "ra_error is not in 0"),
        (lambda t: changed(t, "ref_epoch", 3, 51544.5), "ref_epoch is not in 1900 to 2100"),
        (lambda t: changed(t, "pmra_pmdec_corr", 3, 1.5), "pmra_pmdec_corr is not in -1 to 1"),
        (lambda t: spoiled(t, "pmra", np.array(t["pmra"]) * 1e6), "pmra is not in -20000"),
        (lambda t: changed(t, "source_id", 3, t["source_id"][4]), "1 source_id come more than once"),
        (lambda t: spoiled(t, "source_id", np.array(t["source_id"], dtype=float)), "lost digits"),
        (lambda t: spoiled(t, "ra", t["ra"], "m"), "'m' of column ra is no unit of deg"),
        (lambda t: spoiled(t, "pmra", t["pmra"], "mas"), "'mas' of column pmra is no unit of mas / yr"),
        (
            lambda t: spoiled(t, "ra", t["ra"], u.Unit("furlong", parse_strict="silent")),
            "'furlong' of column ra",
        ),
        (lambda t: spoiled(t, "ra", ["here"] * len(t)), "column ra holds no numbers"),
        (lambda t: spoiled(t, "ra", np.zeros((len(t), 2))), "column ra holds arrays"),
        (lambda t: t["source_id", "ra", "dec", "pmra"], "only one of pmra and pmdec"),
    ],
)
def test_what_is_not_right_is_refused(sources, spoil, message):
    with pytest.raises(BadTableError, match=message.replace("(", r"\(")):
        stars_from_table(spoil(sources), 2016.0)


@pytest.mark.parametrize("name", [*WRITERS, "sources.txt", "sources"])
def test_files_that_are_not_what_they_seem(tmp_path, name):
    path = tmp_path / name
    path.write_bytes(b"<!DOCTYPE html><html><body>Please log in</body></html>")
    with pytest.raises(BadTableError):
        stars_from_table(read_table(path), 2016.0)


def test_a_truncated_file_is_refused(sources, tmp_path):
    for name in ("sources.vot", "sources.parquet", "sources.fits"):
        WRITERS[name](sources, tmp_path / name)
        content = (tmp_path / name).read_bytes()
        (tmp_path / name).write_bytes(content[: len(content) // 2])
        with pytest.raises(BadTableError):
            stars_from_table(read_table(tmp_path / name), 2016.0)
