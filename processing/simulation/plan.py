"""What to simulate, and the exposures, dithers and pointing errors that follow from it."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from hapctl.processing.errors import UsageProblemError
from hapctl.processing.simulation.acs_wfc import FILTERS, FULL_SHAPE, stream
from hapctl.processing.simulation.headers import ExposureFacts
from hapctl.processing.simulation.pointing import Pointing, frame_to_sky, velocity_aberration
from hapctl.processing.simulation.truth import SkyCircle

VISIT_NAME = re.compile(r"j[0-9a-z]{5}")
DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"
OVERHEAD_SECONDS = 155.0
DITHER_ARCSEC = (0.247, 3.001)
FILTER_STEP_ARCSEC = (0.131, 0.163)
RELATIVE_SHARE = 0.01
GAIA_MARGIN_ARCSEC = 15.0


@dataclass(frozen=True)
class VisitPlan:
    """What to simulate.

    Attributes
    ----------
    visit : str
        ipppss of an ACS visit.
    filters : tuple of str
        Names in `acs_wfc.FILTERS`.
    exposures : int
        Exposures of each filter.
    seed : int
        The same plan and seed give the same bytes.
    stars : int
        Stars on an area as large as the field (all magnitudes; some 8 % are bright enough for Gaia).
    galaxies : int
        Galaxies, likewise.
    ra, dec, pa_v3 : float
        Commanded pointing, degrees.
    start : float
        MJD (UTC) of the first exposure.
    exposure_time : float
        Seconds, of each exposure.
    pointing_error, roll_error : float
        Limits of the error of the visit, arcsec and degrees; exposures differ by a hundredth of that.
    scale_error : float
        Standard deviation of the relative scale of an exposure (the telescope breathes).
    chip_shape : tuple of int
        (ny, nx) of each chip. Smaller ones make a smaller camera of the same pixels, distortion and gap.
    reference_dir : Path, optional
        Folder of real reference files, in place of the simulator's own distortion.
    """

    visit: str = "jhap01"
    filters: tuple[str, ...] = ("F606W", "F814W")
    exposures: int = 2
    seed: int = 1
    stars: int = 2000
    galaxies: int = 150
    ra: float = 152.0
    dec: float = 2.0
    pa_v3: float = 112.3
    start: float = 55993.21
    exposure_time: float = 130.0
    pointing_error: float = 1.0
    roll_error: float = 0.05
    scale_error: float = 5e-6
    chip_shape: tuple[int, int] = FULL_SHAPE
    reference_dir: Path | None = None

    @property
    def circle(self) -> SkyCircle:
        """The part of the sky to make: the field with its dithers, errors and a margin."""
        ny, nx = self.chip_shape
        half_diagonal = 0.052 * np.hypot(nx, 2 * ny + 50) / 2
        count = self.exposures * len(self.filters)
        dithers = np.hypot(*DITHER_ARCSEC) * self.exposures + np.hypot(*FILTER_STEP_ARCSEC) * count
        radius = half_diagonal + dithers + self.pointing_error + GAIA_MARGIN_ARCSEC
        return SkyCircle(self.ra, self.dec, float(radius / 3600.0))

    @property
    def field_share(self) -> float:
        """Area of the circle in fields."""
        ny, nx = self.chip_shape
        return float(np.pi * (self.circle.radius * 3600.0 / 0.05) ** 2 / (2 * ny * nx))


def planned_exposures(plan: VisitPlan) -> Iterator[ExposureFacts]:
    """The exposures of a plan in order of time, as their headers will describe them."""
    target = Pointing(plan.ra, plan.dec, plan.pa_v3)
    for number in range(plan.exposures * len(plan.filters)):
        order, step = divmod(number, plan.exposures)
        postarg = (
            round(DITHER_ARCSEC[0] * step + FILTER_STEP_ARCSEC[0] * order, 6),
            round(DITHER_ARCSEC[1] * step + FILTER_STEP_ARCSEC[1] * order, 6),
        )
        ra, dec = frame_to_sky(target, *postarg)
        start = plan.start + number * (plan.exposure_time + OVERHEAD_SECONDS) / 86400.0
        yield ExposureFacts(
            rootname=f"{plan.visit}{DIGITS[10 + number // 36]}{DIGITS[number % 36]}q",
            facts=FILTERS[plan.filters[order]],
            pointing=replace(target, ra=ra, dec=dec),
            target=(plan.ra, plan.dec),
            postarg=postarg,
            start=start,
            exposure_time=plan.exposure_time,
            va_factor=velocity_aberration(ra, dec, start + plan.exposure_time / 172800.0),
            step=step + 1,
            steps=plan.exposures,
        )


def true_pointing(plan: VisitPlan, exposure: ExposureFacts) -> Pointing:
    """Where the telescope looked: the error of the visit, and a hundredth of it anew for each exposure."""
    visit = stream("visit error", plan.seed)
    size, angle, roll = visit.random(), 2 * np.pi * visit.random(), visit.uniform(-1.0, 1.0)
    shift = plan.pointing_error * size * np.array([np.sin(angle), np.cos(angle)])
    own = stream("exposure error", plan.seed, exposure.rootname)
    shift += RELATIVE_SHARE * plan.pointing_error * own.normal(size=2)
    turn = plan.roll_error * (roll + RELATIVE_SHARE * own.normal())
    scale = 1.0 + plan.scale_error * own.normal()
    return exposure.pointing.moved(float(shift[0]), float(shift[1]), float(turn), float(scale))


def check_plan(plan: VisitPlan) -> None:
    """Refuse a plan that cannot be carried out.

    Raises
    ------
    UsageProblemError
        If it names an unknown filter, no exposures, or a visit that is not ipppss of ACS.
    """
    unknown = [name for name in plan.filters if name not in FILTERS]
    if unknown or not plan.filters:
        raise UsageProblemError(
            f"no such filter: {', '.join(unknown) or '(none)'}", f"take from {', '.join(FILTERS)}"
        )
    if not VISIT_NAME.fullmatch(plan.visit):
        raise UsageProblemError(f"{plan.visit!r} is not an ACS visit", "give six characters, j first: jhap01")
    if not 1 <= plan.exposures * len(plan.filters) <= 26 * 36:
        raise UsageProblemError("a visit has between 1 and 936 exposures", "change --exposures or --filters")
    if len(set(plan.filters)) < len(plan.filters):
        raise UsageProblemError(
            "a filter is named twice", "name each filter once; --exposures says how often"
        )
    if min(plan.chip_shape) < 128 or plan.exposure_time <= 0 or plan.stars < 0 or not abs(plan.dec) <= 90:
        raise UsageProblemError(
            "chips need 128 pixels a side, exposures a time, declinations lie within 90 degrees",
            "change the plan",
        )
