"""The ACS/WFC that the simulator builds: two chips, their distortion, filters and electronics.

The figures are the project's own, chosen to behave like the camera after 2009: pixels that are
skewed and unequal by some 5 %, quadratic terms of tens of pixels at the corners, lookup tables of a
few hundredths of a pixel, a gap of 2.5 arcsec, four amplifiers.
"""

from hapctl.processing.simulation.camera import Amplifier, Camera, ChipOptics, FilterFacts

CHIPS = (
    ChipOptics(
        chip=2,
        extver=1,
        linear=(0.04984, 0.00151, 0.00196, 0.05026),
        sip_a=(
            (2, 0, 8.57e-6),
            (1, 1, -5.22e-6),
            (0, 2, 2.15e-6),
            (3, 0, -4.9e-10),
            (2, 1, -2.7e-11),
            (1, 2, -5.2e-10),
            (0, 3, 8.0e-12),
            (4, 0, 2.1e-14),
            (3, 1, 1.8e-15),
            (2, 2, 3.5e-14),
            (1, 3, -1.5e-14),
            (0, 4, 2.4e-14),
        ),
        sip_b=(
            (2, 0, -1.73e-6),
            (1, 1, 6.17e-6),
            (0, 2, -7.19e-6),
            (3, 0, 1.0e-10),
            (2, 1, -5.1e-10),
            (1, 2, -7.2e-11),
            (0, 3, -4.3e-10),
            (4, 0, -1.6e-14),
            (3, 1, -3.0e-15),
            (2, 2, -3.9e-14),
            (1, 3, 6.0e-15),
            (0, 4, -1.9e-14),
        ),
        amplifiers="CD",
        v2_ref=256.6,
        v3_ref=302.3,
        d2im_amplitude=(0.06, 0.055),
        npol_amplitude=(0.05, 0.04),
    ),
    ChipOptics(
        chip=1,
        extver=2,
        linear=(0.04923, 0.00215, 0.00227, 0.04857),
        sip_a=(
            (2, 0, 8.49e-6),
            (1, 1, -7.56e-6),
            (0, 2, 2.27e-6),
            (3, 0, -5.0e-10),
            (2, 1, -1.2e-10),
            (1, 2, -5.1e-10),
            (0, 3, 8.0e-11),
            (4, 0, 1.8e-14),
            (3, 1, 3.8e-14),
            (2, 2, 9.8e-14),
            (1, 3, -6.0e-15),
            (0, 4, 1.3e-13),
        ),
        sip_b=(
            (2, 0, -2.98e-6),
            (1, 1, 6.45e-6),
            (0, 2, -9.79e-6),
            (3, 0, 1.1e-10),
            (2, 1, -4.2e-10),
            (1, 2, -4.4e-11),
            (0, 3, -4.2e-10),
            (4, 0, -1.7e-14),
            (3, 1, -3.8e-14),
            (2, 2, -1.1e-13),
            (1, 3, 1.4e-14),
            (0, 4, -1.4e-13),
        ),
        amplifiers="AB",
        v2_ref=260.9,
        v3_ref=198.4,
        d2im_amplitude=(0.055, 0.06),
        npol_amplitude=(0.045, 0.05),
    ),
)

FILTERS: dict[str, FilterFacts] = {
    facts.name: facts
    for facts in (
        FilterFacts("F435W", 2, 3.14e-19, 4329.9, 293.6, 0.031, 0.93, 0.55, 1.05),
        FilterFacts("F475W", 1, 1.81e-19, 4747.0, 420.1, 0.060, 0.95, 0.35, 0.75),
        FilterFacts("F555W", 1, 1.95e-19, 5360.9, 360.1, 0.056, 0.97, 0.20, 0.45),
        FilterFacts("F606W", 1, 7.85e-20, 5921.9, 672.3, 0.127, 1.00, 0.05, 0.22),
        FilterFacts("F625W", 1, 1.18e-19, 6312.0, 415.5, 0.085, 1.02, -0.05, 0.00),
        FilterFacts("F775W", 1, 9.98e-20, 7693.3, 435.1, 0.078, 1.10, -0.25, -0.38),
        FilterFacts("F814W", 2, 7.04e-20, 8045.0, 652.0, 0.102, 1.13, -0.28, -0.42),
        FilterFacts("F850LP", 1, 1.51e-19, 9031.5, 525.0, 0.044, 1.20, -0.38, -0.60),
    )
}

AMPLIFIERS: dict[str, Amplifier] = {
    "A": Amplifier(2.02, 4.35, 2215.3),
    "B": Amplifier(1.89, 3.75, 2098.8),
    "C": Amplifier(2.03, 4.05, 2181.1),
    "D": Amplifier(2.01, 5.05, 2127.6),
}

ACS_WFC = Camera(
    instrument="ACS",
    detector="WFC",
    visit_letter="j",
    suffix="flc",
    chips=CHIPS,
    filters=FILTERS,
    amplifiers=AMPLIFIERS,
    plate_scale=0.05,
    coarsest_scale=0.052,
    gap_arcsec=2.5,
    gap_pixels=50,
    full_shape=(2048, 4096),
    small_shape=(1024, 2048),
    centre_offset=(24, 10),
    reference_pixels=0,
    axis_angle=180.0,
    idc_theta=0.0,
    reference_prefix="jref",
    model="hapsim01j",
    d2im_root="hapsimd2j",
    full_well=84_700.0,
    psf_components=((0.76, 0.70), (0.17, 1.55), (0.07, 4.6)),
    dither_arcsec=(0.247, 3.001),
    streams="",
)
