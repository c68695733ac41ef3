"""Drizzle parameters by detector and number of exposures: HAP's values."""

import pytest
from hapctl.processing.errors import UsageProblemError
from hapctl.processing.imaging.defaults import (
    UVIS_CHANGE_MJD,
    detector_defaults,
    good_bits,
)


@pytest.mark.parametrize(
    ("detector", "exposures", "level", "bits"),
    [
        ("WFC", 1, "exposure", 65535),
        ("WFC", 4, "exposure", 65535),
        ("WFC", 1, "filter", 65535),
        ("WFC", 2, "filter", 336),
        ("HRC", 2, "filter", 64),
        ("SBC", 3, "filter", 0),
        ("UVIS", 3, "filter", 336),
        ("IR", 1, "filter", 528),
        ("IR", 4, "layer", 528),
        ("WFC", 2, "layer", 80),
        ("HRC", 1, "layer", 65535),
        ("PC", 4, "layer", "2,8,1024"),
    ],
)
def test_good_flags(detector: str, exposures: int, level: str, bits: object) -> None:
    defaults = detector_defaults(detector, UVIS_CHANGE_MJD + 1, exposures)
    assert good_bits(defaults, level, exposures) == bits  # type: ignore[arg-type]


def test_uvis_before_its_post_flash() -> None:
    before, after = (detector_defaults("UVIS", UVIS_CHANGE_MJD + day, 3) for day in (-1.0, 1.0))
    assert (before.filter_bits, after.filter_bits) == (352, 336)
    assert (before.sky.bits, after.sky.bits) == (96, 80)


def test_the_cosmic_ray_test_follows_the_number_of_exposures() -> None:
    few, many = (detector_defaults("WFC", 56000.0, number).cosmic_rays for number in (2, 6))
    assert few is not None
    assert many is not None
    assert (few.scale, many.scale) == ((1.5, 1.2), (1.2, 0.7))
    two, four = (detector_defaults("IR", 56000.0, number).cosmic_rays for number in (2, 4))
    assert two is not None
    assert four is not None
    assert (two.bits, four.bits, two.snr) == (65535, 528, (5.0, 4.0))
    assert detector_defaults("SBC", 56000.0, 6).cosmic_rays is None


def test_unknown_detector() -> None:
    with pytest.raises(UsageProblemError, match="NICMOS"):
        detector_defaults("NICMOS", 56000.0, 1)
