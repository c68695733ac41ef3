"""The WFC3/IR that the simulator builds: one array read up the ramp, with oblong pixels and broad wings.

The distortion is that of the camera, rounded: pixels of 0.135 by 0.121 arcsec, quadratic terms of several
pixels at the corners, no lookup tables. The figures of filters are close to the camera's.
"""

from hapctl.processing.simulation.camera import Amplifier, Camera, ChipOptics, FilterFacts

CHIPS = (
    ChipOptics(
        chip=1,
        extver=1,
        linear=(0.135411, -0.000421, 0.000776, 0.120951),
        sip_a=(
            (2, 0, -1.98e-7),
            (1, 1, 2.446e-5),
            (0, 2, 5.4e-8),
            (3, 0, -1.455e-10),
            (2, 1, 1.124e-10),
            (1, 2, 6.00e-11),
            (0, 3, 3.58e-11),
            (4, 0, -3.35e-13),
            (3, 1, 5.61e-13),
            (2, 2, -2.1e-14),
            (1, 3, 6.20e-13),
            (0, 4, -2.03e-13),
        ),
        sip_b=(
            (2, 0, 6.980e-6),
            (1, 1, -1.75e-7),
            (0, 2, 3.002e-5),
            (3, 0, 5.32e-11),
            (2, 1, -2.634e-10),
            (1, 2, 4.27e-11),
            (0, 3, -1.677e-10),
            (4, 0, -6.14e-13),
            (3, 1, 1.00e-13),
            (2, 2, -7.0e-14),
            (1, 3, -9.1e-14),
            (0, 4, 7.75e-13),
        ),
        amplifiers="ABCD",
        v2_ref=1.019,
        v3_ref=-0.507,
    ),
)

FILTERS = {
    facts.name: facts
    for facts in (
        FilterFacts("F098M", 0, 6.07e-20, 9864.0, 501.0, 0.61, 0.94, -0.42, -0.72),
        FilterFacts("F105W", 0, 3.04e-20, 10552.0, 846.0, 1.03, 0.96, -0.45, -0.78),
        FilterFacts("F110W", 0, 1.53e-20, 11534.0, 1428.0, 1.64, 0.98, -0.47, -0.84),
        FilterFacts("F125W", 0, 2.25e-20, 12486.0, 866.0, 0.99, 1.00, -0.48, -0.90),
        FilterFacts("F140W", 0, 1.47e-20, 13923.0, 1132.0, 1.19, 1.04, -0.46, -0.97),
        FilterFacts("F160W", 0, 1.93e-20, 15369.0, 826.0, 0.94, 1.09, -0.40, -1.04),
    )
}

AMPLIFIERS = {
    "A": Amplifier(2.34, 20.2, 0.0),
    "B": Amplifier(2.37, 19.8, 0.0),
    "C": Amplifier(2.31, 19.9, 0.0),
    "D": Amplifier(2.38, 20.1, 0.0),
}

WFC3_IR = Camera(
    instrument="WFC3",
    detector="IR",
    visit_letter="i",
    suffix="flt",
    chips=CHIPS,
    filters=FILTERS,
    amplifiers=AMPLIFIERS,
    plate_scale=0.12825,
    coarsest_scale=0.137,
    gap_arcsec=0.0,
    gap_pixels=0,
    full_shape=(1014, 1014),
    small_shape=(507, 507),
    centre_offset=(6, 6),
    reference_pixels=10,
    axis_angle=45.0,
    idc_theta=45.0,
    reference_prefix="iref",
    model="hapsimiri",
    d2im_root="",
    full_well=78_000.0,
    psf_components=((0.78, 0.46), (0.15, 1.10), (0.07, 3.2)),
    dither_arcsec=(1.609, 2.095),
    streams="IR ",
)
