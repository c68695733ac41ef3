"""Headers and data as astropy reads them, and damage said in words."""

import gzip
import warnings
from pathlib import Path

import pytest
from astropy.io import fits
from hapctl.processing.astrometry.fits_structure import parse_header, parse_value, primary_header, read_fits
from hapctl.processing.errors import UnusableFileError
from support.data import data_file
from support.exposure_files import exposure_file, two_chip_solution

FILES = [
    "headers/sample_svm_flc.fits",
    "headers/sample_mvm_drc.fits",
    "hrc_47tuc/j8bt06nyq_flt.fits",
    "headers/dist_lookup.fits.gz",
    "wfpc2_omegacen/u40x010hm_c0f.fits",
    "wfc3ir_goodss/ib6o21qnq_flt.fits.gz",
]


@pytest.mark.parametrize("name", FILES)
def test_every_card_is_what_astropy_reads(name: str) -> None:
    path = data_file(name)
    extensions = read_fits(path)
    with warnings.catch_warnings(), fits.open(path) as hdus:
        warnings.simplefilter("ignore")
        assert len(hdus) == len(extensions)
        for hdu, extension in zip(hdus, extensions, strict=True):
            for card in hdu.header.cards:
                if card.keyword in ("", "COMMENT", "HISTORY") or hdu.header.count(card.keyword) > 1:
                    continue
                assert _plain(card.value) == _plain(extension.header[card.keyword]), card.keyword


def _plain(value: object) -> object:
    if isinstance(value, fits.card.Undefined):
        return None
    return value.strip() if isinstance(value, str) else value


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("                    T / comment", True),
        ("                   42", 42),
        (" -1.5D-3 / comment", -0.0015),
        (" 'it''s a / b' / comment", "it's a / b"),
        (" ''", ""),
        ("          / nothing", None),
        (" 12:30:00", "12:30:00"),
    ],
)
def test_values(field: str, value: object) -> None:
    assert parse_value(field) == value


def test_long_strings_and_record_valued_cards() -> None:
    cards = fits.Header()
    cards["LONG"] = "x" * 150
    block = (
        cards.tostring().encode() + b"DP1     = 'EXTVER: 3'".ljust(80) + b"DESCRIP = 'Number: 3'".ljust(80)
    )
    header = parse_header(block.replace(b"END".ljust(80), b"".ljust(80)))
    assert header["LONG"] == "x" * 150
    assert header["DP1.EXTVER"] == 3
    assert header["DESCRIP"] == "Number: 3"


@pytest.fixture
def content() -> bytes:
    return exposure_file(two_chip_solution("jtest0001", binning=16))


def test_a_file_cut_anywhere_in_its_data_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "cut.fits"
    for size in (3000, 40_000, len(content) - 20_000, len(content) - 2880):
        path.write_bytes(content[:size])
        with pytest.raises(UnusableFileError, match="truncated"):
            read_fits(path)


def test_padding_may_be_missing(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "whole.fits"
    extensions = read_fits(_written(path, content))
    last = extensions[-1]
    cut = len(content) - (-last.data_size % 2880)
    assert len(read_fits(_written(path, content[:cut]))) == len(extensions)


@pytest.mark.parametrize(
    ("bytes_", "reason"),
    [
        (b"", "empty file"),
        (b"hello, this is no FITS file", "not a FITS file"),
        (b"\x1f\x8b" + b"rubbish" * 10, "damaged gzip"),
    ],
)
def test_what_is_not_fits(tmp_path: Path, bytes_: bytes, reason: str) -> None:
    with pytest.raises(UnusableFileError, match=reason):
        read_fits(_written(tmp_path / "a.fits", bytes_))


def test_a_cut_gzip_file_is_refused(tmp_path: Path, content: bytes) -> None:
    packed = gzip.compress(content)
    path = _written(tmp_path / "a.fits.gz", packed[: len(packed) // 2])
    with pytest.raises(UnusableFileError, match="truncated"):
        read_fits(path)
    assert primary_header(_written(tmp_path / "b.fits.gz", packed))["ROOTNAME"] == "jtest0001"


def _written(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path
