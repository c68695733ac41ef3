"""The WFC3/UVIS that the simulator builds: two chips turned by 45 degrees, their distortion and electronics.

The distortion is that of the camera, rounded: pixels skewed by 3.5 degrees, quadratic terms of some ten
pixels at the corners, lookup tables of a few hundredths of a pixel, a gap of 1.3 arcsec. Chip 2 is less
sensitive than chip 1 by a per cent or two; the figures of filters are close to the camera's.
"""

from hapctl.processing.simulation.camera import Amplifier, Camera, ChipOptics, FilterFacts

CHIPS = (
    ChipOptics(
        chip=2,
        extver=1,
        linear=(0.039778, 0.002337, 0.000175, 0.039841),
        sip_a=(
            (2, 0, 2.931e-6),
            (1, 1, -3.007e-6),
            (0, 2, 9.69e-8),
            (3, 0, 3.06e-11),
            (2, 1, -1.26e-11),
            (1, 2, 1.52e-11),
            (0, 3, 1.84e-11),
            (4, 0, -7.5e-15),
            (3, 1, 6.7e-15),
            (2, 2, -1.73e-14),
            (1, 3, 1.07e-14),
            (0, 4, -1.57e-14),
        ),
        sip_b=(
            (2, 0, -5.83e-8),
            (1, 1, 2.815e-6),
            (0, 2, -3.118e-6),
            (3, 0, 1.8e-13),
            (2, 1, 1.03e-11),
            (1, 2, -5.1e-12),
            (0, 3, 1.49e-11),
            (4, 0, 2.8e-15),
            (3, 1, -7.0e-16),
            (2, 2, 1.90e-14),
            (1, 3, 8.7e-15),
            (0, 4, 1.73e-14),
        ),
        amplifiers="CD",
        v2_ref=-27.46,
        v3_ref=-33.26,
        d2im_amplitude=(0.049, 0.035),
        npol_amplitude=(0.06, 0.031),
    ),
    ChipOptics(
        chip=1,
        extver=2,
        linear=(0.039541, 0.002580, 0.000129, 0.039370),
        sip_a=(
            (2, 0, 2.881e-6),
            (1, 1, -2.895e-6),
            (0, 2, -1.63e-8),
            (3, 0, 2.50e-11),
            (2, 1, -5.1e-12),
            (1, 2, 1.66e-11),
            (0, 3, -1.0e-13),
            (4, 0, -1.1e-15),
            (3, 1, 9.0e-16),
            (2, 2, 4.0e-16),
            (1, 3, 1.28e-14),
            (0, 4, 6.3e-15),
        ),
        sip_b=(
            (2, 0, -9.0e-10),
            (1, 1, 2.829e-6),
            (0, 2, -2.881e-6),
            (3, 0, 1.09e-11),
            (2, 1, 1.0e-12),
            (1, 2, -4.1e-12),
            (0, 3, 4.07e-11),
            (4, 0, -2.3e-15),
            (3, 1, -3.2e-15),
            (2, 2, -6.5e-15),
            (1, 3, -5.2e-15),
            (0, 4, -2.19e-14),
        ),
        amplifiers="AB",
        v2_ref=30.64,
        v3_ref=25.24,
        d2im_amplitude=(0.062, 0.045),
        npol_amplitude=(0.051, 0.030),
    ),
)

FILTERS = {
    facts.name: facts
    for facts in (
        FilterFacts("F275W", 0, 3.22e-18, 2710.0, 165.0, 0.001, 0.94, 2.10, 2.90, 1.035),
        FilterFacts("F336W", 0, 1.28e-18, 3354.5, 158.0, 0.002, 0.93, 1.30, 2.20, 1.024),
        FilterFacts("F438W", 0, 6.62e-19, 4326.0, 197.0, 0.009, 0.93, 0.55, 1.05, 1.004),
        FilterFacts("F475W", 0, 2.50e-19, 4773.0, 421.0, 0.036, 0.95, 0.35, 0.75, 1.002),
        FilterFacts("F555W", 0, 1.84e-19, 5308.0, 517.0, 0.051, 0.97, 0.20, 0.45, 1.0105),
        FilterFacts("F606W", 0, 1.15e-19, 5889.0, 657.0, 0.076, 1.00, 0.05, 0.22, 1.006),
        FilterFacts("F775W", 0, 2.07e-19, 7651.0, 420.0, 0.038, 1.10, -0.25, -0.38, 0.991),
        FilterFacts("F814W", 0, 1.48e-19, 8039.0, 666.0, 0.048, 1.13, -0.28, -0.42, 0.989),
        FilterFacts("F850LP", 0, 3.70e-19, 9176.0, 470.0, 0.018, 1.22, -0.38, -0.60, 0.985),
    )
}

AMPLIFIERS = {
    "A": Amplifier(1.56, 3.03, 2555.8),
    "B": Amplifier(1.56, 3.13, 2542.8),
    "C": Amplifier(1.56, 3.08, 2503.0),
    "D": Amplifier(1.56, 3.18, 2604.7),
}

WFC3_UVIS = Camera(
    instrument="WFC3",
    detector="UVIS",
    visit_letter="i",
    suffix="flc",
    chips=CHIPS,
    filters=FILTERS,
    amplifiers=AMPLIFIERS,
    plate_scale=0.03962,
    coarsest_scale=0.0415,
    gap_arcsec=1.3,
    gap_pixels=33,
    full_shape=(2051, 4096),
    small_shape=(1025, 2048),
    centre_offset=(56, 11),
    reference_pixels=0,
    axis_angle=45.0,
    idc_theta=45.0,
    reference_prefix="iref",
    model="hapsimuvi",
    d2im_root="hapsimd2i",
    full_well=70_000.0,
    psf_components=((0.79, 0.78), (0.15, 1.80), (0.06, 5.4)),
    dither_arcsec=(1.207, 2.413),
    streams="UVIS ",
)
