"""Units and noise of every detector: what headers say, what tables know, and what can't be told."""

import math
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from hapctl.processing.errors import UnusableFileError
from hapctl.processing.imaging.chip_data import ExposureImage
from hapctl.processing.imaging.detector_units import (
    WFPC2_GAIN,
    WFPC2_READ_NOISE,
    amplifiers,
    electrons_per_unit,
    exposure_seconds,
    gain,
    read_noise,
)
from support.data import data_file
from support.image_files import write_exposure

Cards = dict[str, object]
WFC: Cards = {"INSTRUME": "ACS", "DETECTOR": "WFC", "CCDAMP": "ABCD"}
NOISE: Cards = {"READNSEA": 4.0, "READNSEB": 3.0, "READNSEC": 6.0, "READNSED": 8.0}
GAINS: Cards = {"ATODGNA": 2.0, "ATODGNB": 2.2, "ATODGNC": 1.0, "ATODGND": 1.4}


def header(*cards: Cards) -> fits.Header:
    return fits.Header({key: value for each in cards for key, value in each.items()})


@pytest.mark.parametrize(
    ("primary", "science", "factor"),
    [
        ({}, {"BUNIT": "ELECTRONS"}, 1.0),
        ({}, {"BUNIT": "ELECTRONS/S"}, 50.0),
        ({}, {"BUNIT": "electron / s"}, 50.0),
        ({}, {}, 1.0),
        ({"ATODGAIN": 4.0}, {"BUNIT": "COUNTS"}, 4.0),
        ({"ATODGAIN": 4.0}, {"BUNIT": "COUNTS/S"}, 200.0),
        ({"INSTRUME": "STIS", "DETECTOR": "CCD", "ATODGAIN": 1.0}, {}, 1.0),
        ({"INSTRUME": "STIS", "DETECTOR": "NUV-MAMA"}, {"BUNIT": "COUNTS"}, 1.0),
        ({"INSTRUME": "ACS", "DETECTOR": "SBC"}, {"BUNIT": "COUNTS/S"}, 50.0),
        ({**WFC, **GAINS}, {"BUNIT": "COUNTS", "CCDCHIP": 1}, 2.1),
        ({**WFC, **GAINS}, {"BUNIT": "COUNTS", "CCDCHIP": 2}, 1.2),
        ({**WFC, "CCDGAIN": 2.0}, {"BUNIT": "DN", "CCDCHIP": 2}, 2.0),
        ({"INSTRUME": "WFPC2", "ATODGAIN": 15.0}, {"BUNIT": "COUNTS", "DETECTOR": 2}, 14.5),
        ({"INSTRUME": "WFPC2", "ATODGAIN": 7.0}, {"DETECTOR": 3}, 6.9),
    ],
)
def test_units(primary: Cards, science: Cards, factor: float) -> None:
    assert electrons_per_unit(header(primary), header(science), 50.0) == pytest.approx(factor)


@pytest.mark.parametrize(
    ("primary", "science", "words"),
    [
        ({}, {"BUNIT": "JY"}, "BUNIT 'JY'"),
        ({"INSTRUME": "WFC3", "DETECTOR": "IR"}, {}, "there is no BUNIT"),
        ({}, {"BUNIT": "COUNTS"}, "no gain"),
        ({"ATODGAIN": "N/A"}, {"BUNIT": "COUNTS"}, "no gain"),
        ({"ATODGAIN": 0.0}, {"BUNIT": "COUNTS"}, "no gain"),
        ({"INSTRUME": "WFPC2", "ATODGAIN": 8.0}, {"DETECTOR": 1}, "ATODGAIN 8.0"),
        ({"INSTRUME": "WFPC2", "ATODGAIN": 7.0}, {"DETECTOR": 5}, "chip 5"),
        ({"INSTRUME": "WFPC2"}, {"DETECTOR": 1}, "ATODGAIN None"),
    ],
)
def test_what_cannot_be_told_is_said(primary: Cards, science: Cards, words: str) -> None:
    with pytest.raises(UnusableFileError, match=words):
        electrons_per_unit(header(primary), header(science), 50.0)


@pytest.mark.parametrize(
    ("primary", "science", "seconds"),
    [
        ({"EXPTIME": 100.0}, {}, 100.0),
        ({"EXPTIME": 300.0}, {"EXPTIME": 150.0}, 150.0),
        ({"EXPTIME": 300.0}, {"EXPTIME": 0.0}, 300.0),
    ],
)
def test_seconds_of_an_imset(primary: Cards, science: Cards, seconds: float) -> None:
    assert exposure_seconds(header(primary), header(science)) == seconds


@pytest.mark.parametrize(
    ("cards", "words"),
    [({}, "no EXPTIME"), ({"EXPTIME": 0.0}, "EXPTIME is 0.0"), ({"EXPTIME": "NaN"}, "EXPTIME is NaN")],
)
def test_no_seconds_name_the_file(tmp_path: Path, cards: Cards, words: str) -> None:
    path = write_exposure(tmp_path / "x_flt.fits", [{"sci": np.ones((2, 2))}])
    with fits.open(path, mode="update") as hdus:
        del hdus[0].header["EXPTIME"]
        hdus[0].header.update(cards)
    with pytest.raises(UnusableFileError, match=rf"x_flt.fits\[SCI,1\].*{words}") as caught:
        ExposureImage(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("primary", "chip", "amps", "noise"),
    [
        (WFC, 1, "AB", math.sqrt((16 + 9) / 2)),
        (WFC, 2, "CD", math.sqrt((36 + 64) / 2)),
        ({**WFC, "INSTRUME": "WFC3", "DETECTOR": "UVIS"}, 2, "CD", math.sqrt(50.0)),
        ({**WFC, "CCDAMP": "AD"}, 2, "D", 8.0),
        ({**WFC, "CCDAMP": "B"}, 1, "B", 3.0),
        ({**WFC, "CCDAMP": "N/A"}, 1, "AB", math.sqrt(12.5)),
        ({**WFC, "CCDAMP": "C"}, 1, "C", 6.0),
        ({"INSTRUME": "ACS", "DETECTOR": "HRC", "CCDAMP": "C"}, 1, "C", 6.0),
        ({"INSTRUME": "WFC3", "DETECTOR": "IR"}, 1, "ABCD", math.sqrt((16 + 9 + 36 + 64) / 4)),
    ],
)
def test_read_noise_is_of_the_amplifiers_of_the_chip(
    primary: Cards, chip: int, amps: str, noise: float
) -> None:
    headers = header(primary, NOISE), header({"CCDCHIP": chip})
    assert amplifiers(*headers) == amps
    assert read_noise(*headers) == pytest.approx(noise)


def test_read_noise_of_other_detectors() -> None:
    wfpc2 = header({"INSTRUME": "WFPC2", "ATODGAIN": 7.0})
    for chip, noise in {1: 5.24, 2: 5.51, 3: 5.22, 4: 5.19}.items():
        assert read_noise(wfpc2, header({"DETECTOR": chip})) == noise
    assert WFPC2_GAIN.keys() == WFPC2_READ_NOISE.keys()
    sbc = header({"INSTRUME": "ACS", "DETECTOR": "SBC"}, NOISE)
    assert (read_noise(sbc, header({})), gain(sbc, header({}))) == (0.0, 1.0)
    stis = header({"INSTRUME": "STIS", "DETECTOR": "CCD", "READNSE": 4.4})
    assert read_noise(stis, header({})) == 4.4
    assert read_noise(header({}), header({})) == 0.0


def test_real_files_of_four_instruments() -> None:
    with ExposureImage(data_file("stis_m33/o4k19a010_flt.fits.gz")) as stis:
        with fits.open(stis.path) as hdus:
            assert stis.chips[0].read_noise == hdus[0].header["READNSE"]
            assert stis.chips[0].electrons_per_unit == hdus[0].header["ATODGAIN"]
        assert [chip.exposure_time for chip in stis.chips] == [150.0, 150.0]
    with ExposureImage(data_file("headers/sample_svm_flc.fits")) as uvis:
        assert [chip.chip for chip in uvis.chips] == [2, 1]
        expected = [np.hypot(3.08, 3.18), np.hypot(3.03, 3.13)]
        assert [chip.read_noise for chip in uvis.chips] == pytest.approx(np.array(expected) / np.sqrt(2))
    with ExposureImage(data_file("headers/sample_svm_flt.fits")) as infrared:
        assert infrared.chips[0].electrons_per_unit == pytest.approx(699.232483)
