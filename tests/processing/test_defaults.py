"""Drizzle parameters by detector, level and number of exposures: HAP's values."""

import pytest
from hapctl.processing.errors import UsageProblemError
from hapctl.processing.imaging.defaults import NATIVE_SCALE_ARCSEC, UVIS_CHANGE_MJD, Level
from hapctl.processing.imaging.parameters import DrizzleParameters
from hapctl.processing.imaging.product_seed import drizzle_defaults


def after(detector: str, level: Level, exposures: int, filter_name: str = "") -> DrizzleParameters:
    return drizzle_defaults(detector, UVIS_CHANGE_MJD + 1, level, exposures, filter_name)


@pytest.mark.parametrize(
    ("detector", "exposures", "level", "bits"),
    [
        ("WFC", 1, "exposure", 65535),
        ("WFC", 4, "exposure", 65535),
        ("WFC", 1, "filter", 65535),
        ("WFC", 2, "filter", 336),
        ("WFC", 2, "total", 336),
        ("HRC", 2, "filter", 64),
        ("HRC", 2, "total", 64),
        ("SBC", 3, "filter", 0),
        ("UVIS", 3, "filter", 336),
        ("IR", 1, "filter", 528),
        ("IR", 4, "layer", 528),
        ("WFC", 2, "layer", 80),
        ("HRC", 1, "layer", 65535),
        ("PC", 2, "filter", 61437),
        ("PC", 3, "filter", 1024),
        ("PC", 4, "layer", "2,8,1024"),
    ],
)
def test_good_flags(detector: str, exposures: int, level: Level, bits: object) -> None:
    assert after(detector, level, exposures).final.bits == bits


# detector, level, exposures: flags good for sky, separate, final; kernel; combination; SNR; scale; pixfrac
HAP_TABLE: list[tuple[str, Level, tuple[int, ...], tuple[object, ...]]] = [
    ("HRC", "filter", (2, 5), (64, 64, 64, "square", "minmed", (3.5, 3.0), (1.5, 1.2), 1.0)),
    ("HRC", "filter", (6, 40), (64, 64, 64, "square", "median", (3.5, 3.0), (1.2, 0.7), 0.8)),
    ("WFC", "filter", (2, 5), (80, 336, 336, "square", "minmed", (3.5, 3.0), (1.5, 1.2), 1.0)),
    ("WFC", "filter", (6, 40), (80, 336, 336, "square", "median", (3.5, 3.0), (1.2, 0.7), 0.8)),
    ("IR", "filter", (2, 3), (16, 65535, 528, "turbo", "minmed", (5.0, 4.0), (3.0, 2.4), 1.0)),
    ("IR", "filter", (4, 40), (16, 528, 528, "turbo", "median", (5.0, 4.0), (3.0, 2.4), 1.0)),
    ("UVIS", "filter", (2, 5), (80, 336, 336, "square", "minmed", (3.5, 3.0), (1.5, 1.2), 1.0)),
    ("UVIS", "filter", (6, 40), (80, 336, 336, "square", "median", (3.5, 3.0), (1.2, 0.7), 0.8)),
    ("UVIS before", "filter", (2, 5), (96, 352, 352, "square", "minmed", (3.5, 3.0), (1.5, 1.2), 1.0)),
    ("UVIS before", "filter", (6,), (96, 352, 352, "square", "median", (3.5, 3.0), (1.2, 0.7), 0.8)),
    ("PC", "filter", (2,), (1024, 1024, 61437, "square", "minmed", (5.5, 3.5), (2.0, 1.5), 1.0)),
    ("PC", "filter", (3,), (1024, 1024, 1024, "square", "minmed", (5.5, 3.5), (2.0, 1.5), 1.0)),
    ("PC", "filter", (4, 40), (1024, 1024, 1024, "square", "median", (5.5, 3.5), (2.0, 1.5), 1.0)),
]


@pytest.mark.parametrize(("detector", "level", "numbers", "expected"), HAP_TABLE)
def test_where_rays_are_found_all_is_as_in_the_table_of_hap(
    detector: str, level: Level, numbers: tuple[int, ...], expected: tuple[object, ...]
) -> None:
    days = -1.0 if detector.endswith("before") else 1.0
    for number in numbers:
        found = drizzle_defaults(detector.split()[0], UVIS_CHANGE_MJD + days, level, number)
        flags = (found.sky.bits, found.separate.bits, found.final.bits)
        rays = (found.cosmic_rays.snr, found.cosmic_rays.scale)
        assert (
            *flags,
            found.separate.kernel,
            found.median.type,
            *rays,
            found.final.pixfrac,
        ) == expected
        assert found.static_mask.enabled
        assert found.cosmic_rays.enabled
        check_constant(found)


def check_constant(found: DrizzleParameters) -> None:
    """What HAP has alike in all its files."""
    final, sky, median = found.final, found.sky, found.median
    assert (final.kernel, final.weight, final.weight_scale) == ("square", "EXP", "exptime")
    assert (final.units, final.context) == ("cps", True)
    assert (median.sigma, median.nhigh, median.nlow, median.maskpt) == ((4.0, 3.0), 1, 0, 0.3)
    assert found.blot.interpolation == "poly5"
    assert (sky.method, sky.lower, sky.clip, sky.lower_sigma, sky.upper_sigma) == (
        "match",
        -100.0,
        5,
        4.0,
        4.0,
    )
    assert found.cosmic_rays.reset_bits == 4096


@pytest.mark.parametrize(
    ("detector", "level", "exposures", "bits"),
    [
        *((name, "exposure", number, 65535) for name in ("WFC", "HRC", "SBC", "UVIS") for number in (1, 4)),
        ("IR", "exposure", 4, 528),
        ("PC", "exposure", 4, 65533),
        *((name, "filter", 1, 65535) for name in ("WFC", "HRC", "UVIS")),
        ("IR", "filter", 1, 528),
        ("PC", "filter", 1, 65533),
        ("SBC", "filter", 1, 0),
        ("SBC", "total", 6, 0),
        ("WFC", "total", 6, 336),
        ("UVIS", "total", 6, 336),
        ("IR", "total", 6, 528),
        ("PC", "total", 6, 1024),
    ],
)
def test_where_no_rays_are_found_flags_are_as_in_the_table_of_hap(
    detector: str, level: Level, exposures: int, bits: object
) -> None:
    found = after(detector, level, exposures)
    assert found.final.bits == bits
    assert found.final.pixfrac == 1.0
    check_constant(found)


def test_uvis_before_its_post_flash() -> None:
    before, later = (drizzle_defaults("UVIS", UVIS_CHANGE_MJD + day, "filter", 3) for day in (-1.0, 1.0))
    assert (before.final.bits, later.final.bits) == (352, 336)
    assert (before.separate.bits, later.separate.bits) == (352, 336)
    assert (before.sky.bits, later.sky.bits) == (96, 80)


@pytest.mark.parametrize("detector", ["WFC", "HRC", "UVIS"])
def test_many_exposures_are_compared_more_sharply(detector: str) -> None:
    few, many = (after(detector, "filter", number) for number in (5, 6))
    assert (few.median.type, many.median.type) == ("minmed", "median")
    assert (few.cosmic_rays.scale, many.cosmic_rays.scale) == ((1.5, 1.2), (1.2, 0.7))
    assert few.cosmic_rays.snr == many.cosmic_rays.snr == (3.5, 3.0)
    assert (few.final.pixfrac, many.final.pixfrac) == (1.0, 0.8)
    assert after(detector, "total", 6).final.pixfrac == 1.0


def test_infrared_takes_all_pixels_of_few_exposures() -> None:
    two, four = (after("IR", "filter", number) for number in (2, 4))
    assert (two.separate.bits, four.separate.bits) == (65535, 528)
    assert (two.separate.kernel, two.median.type, four.median.type) == ("turbo", "minmed", "median")
    assert (four.cosmic_rays.snr, four.cosmic_rays.scale) == ((5.0, 4.0), (3.0, 2.4))


def test_wfpc2_is_compared_at_the_scale_of_its_wide_field() -> None:
    found = after("PC", "filter", 4)
    assert (found.separate.scale, found.median.type) == (0.0996, "median")
    assert (found.cosmic_rays.snr, found.cosmic_rays.scale) == ((5.5, 3.5), (2.0, 1.5))


@pytest.mark.parametrize("detector", NATIVE_SCALE_ARCSEC)
@pytest.mark.parametrize("level", ["exposure", "filter", "total", "layer"])
@pytest.mark.parametrize("exposures", [1, 2, 6])
def test_exposures_are_compared_where_their_filter_has_several(
    detector: str, level: Level, exposures: int
) -> None:
    found = after(detector, level, exposures)
    compared = level == "filter" and exposures > 1 and detector != "SBC"
    steps = (found.static_mask, found.separate, found.median, found.blot, found.cosmic_rays)
    assert {step.enabled for step in steps} == {compared}
    assert found.sky.method == "match"
    assert found.sky.statistic == ("mean" if detector == "SBC" else "median")
    assert found.sky.enabled == (detector != "SBC")


def test_sbc_in_the_blue_sees_the_sky() -> None:
    assert after("SBC", "filter", 2, "f115lp").sky.enabled
    assert [after("SBC", "filter", n, "f122m").final.pixfrac for n in (5, 6)] == [1.0, 0.8]
    assert after("SBC", "filter", 6, "f150lp").final.pixfrac == 1.0


def test_unknown_detector() -> None:
    with pytest.raises(UsageProblemError, match="NICMOS"):
        drizzle_defaults("NICMOS", 56000.0, "filter", 2)
