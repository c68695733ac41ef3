"""What to simulate, and the exposures, dithers and pointing errors that follow from it."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from hapctl.processing.errors import UsageProblemError
from hapctl.processing.simulation.camera import Camera, stream
from hapctl.processing.simulation.cameras import CAMERAS
from hapctl.processing.simulation.distortion import camera_frame
from hapctl.processing.simulation.headers import ExposureFacts
from hapctl.processing.simulation.pointing import Pointing, frame_to_sky, velocity_aberration
from hapctl.processing.simulation.truth import SkyCircle

VISIT_NAME = re.compile(r"[0-9a-z]{6}")
DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"
OVERHEAD_SECONDS = 155.0
FILTER_STEP_ARCSEC = (0.131, 0.163)
RELATIVE_SHARE = 0.01
GAIA_MARGIN_ARCSEC = 15.0
PSFS = ("gaussian", "diffraction")


@dataclass(frozen=True)
class VisitPlan:
    """What to simulate.

    Attributes
    ----------
    visit : str
        ipppss, j first for ACS and i for WFC3.
    filters : tuple of str
        Filters of the detector; of a visit with both detectors of WFC3 the names tell which takes them.
    detector : str
        ``WFC`` (ACS), ``UVIS``, ``IR`` or ``BOTH`` (WFC3).
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
    chip_shape : tuple of int, optional
        (ny, nx) of each chip; the full one by default. Smaller ones make a smaller camera of the same pixels,
        distortion and gap. In a visit with both detectors it is UVIS's, and IR shrinks alike.
    flux_corrected : bool
        Whether UVIS files come with chip 2 scaled to chip 1 (FLUXCORR), as they do since 2016.
    reference_dir : Path, optional
        Folder of real reference files, in place of the simulator's own distortion.
    psf : str
        ``gaussian``, or ``diffraction``: rings, truly undersampled, more different from place to place.
    scene : SkyCircle, optional
        The part of the sky to make, which has to hold the field; by default one about the pointing. Visits of
        one scene and seed, with as many stars and chips as large, see the same sources.
    """

    visit: str = "jhap01"
    filters: tuple[str, ...] = ("F606W", "F814W")
    detector: str = "WFC"
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
    chip_shape: tuple[int, int] | None = None
    flux_corrected: bool = True
    reference_dir: Path | None = None
    psf: str = "gaussian"
    scene: SkyCircle | None = None

    @property
    def cameras(self) -> tuple[Camera, ...]:
        """The detectors in use; the first one is the widest."""
        return CAMERAS[self.detector]

    def camera_of(self, filter_name: str) -> Camera:
        """The camera that has a filter.

        Raises
        ------
        UsageProblemError
            None has.
        """
        for camera in self.cameras:
            if filter_name in camera.filters:
                return camera
        known = ", ".join(name for camera in self.cameras for name in camera.filters)
        raise UsageProblemError(f"no such filter: {filter_name or '(none)'}", f"take from {known}")

    def shape_of(self, camera: Camera) -> tuple[int, int]:
        """(ny, nx) of a chip of a camera."""
        if self.chip_shape is None:
            return camera.full_shape
        if camera is self.cameras[0]:
            return self.chip_shape
        ratios = zip(camera.full_shape, self.chip_shape, self.cameras[0].full_shape, strict=True)
        ny, nx = (max(128, round(own * given / full)) for own, given, full in ratios)
        return ny, nx

    @property
    def circle(self) -> SkyCircle:
        """The part of the sky to make: the field with its dithers, errors and a margin."""
        if self.scene is not None:
            return self.scene
        half_diagonal = max(camera.half_diagonal_arcsec(self.shape_of(camera)) for camera in self.cameras)
        count = self.exposures * len(self.filters)
        step = max(np.hypot(*camera.dither_arcsec) for camera in self.cameras)
        dithers = step * self.exposures + np.hypot(*FILTER_STEP_ARCSEC) * count
        radius = half_diagonal + dithers + self.pointing_error + GAIA_MARGIN_ARCSEC
        return SkyCircle(self.ra, self.dec, float(radius / 3600.0))

    @property
    def field_share(self) -> float:
        """Area of the circle in fields of the first camera."""
        camera = self.cameras[0]
        ny, nx = self.shape_of(camera)
        pixels = len(camera.chips) * ny * nx
        return float(np.pi * (self.circle.radius * 3600.0 / camera.plate_scale) ** 2 / pixels)


def planned_exposures(plan: VisitPlan) -> Iterator[ExposureFacts]:
    """The exposures of a plan in order of time, as their headers will describe them."""
    target = Pointing(plan.ra, plan.dec, plan.pa_v3)
    for number in range(plan.exposures * len(plan.filters)):
        order, step = divmod(number, plan.exposures)
        camera = plan.camera_of(plan.filters[order])
        postarg = (
            round(camera.dither_arcsec[0] * step + FILTER_STEP_ARCSEC[0] * order, 6),
            round(camera.dither_arcsec[1] * step + FILTER_STEP_ARCSEC[1] * order, 6),
        )
        ra, dec = _pointed(camera, target, postarg)
        start = plan.start + number * (plan.exposure_time + OVERHEAD_SECONDS) / 86400.0
        yield ExposureFacts(
            rootname=f"{plan.visit}{DIGITS[10 + number // 36]}{DIGITS[number % 36]}q",
            camera=camera,
            facts=camera.filters[plan.filters[order]],
            pointing=replace(target, ra=ra, dec=dec),
            target=(plan.ra, plan.dec),
            postarg=postarg,
            start=start,
            exposure_time=plan.exposure_time,
            va_factor=velocity_aberration(ra, dec, start + plan.exposure_time / 172800.0),
            step=step + 1,
            steps=plan.exposures,
            flux_corrected=plan.flux_corrected,
        )


def _pointed(camera: Camera, target: Pointing, postarg: tuple[float, float]) -> tuple[float, float]:
    """Where the aperture is when the target lies at POSTARG in it.

    ACS visits step the other way: so they were made first, and a seed promises the same bytes.
    """
    sign = 1.0 if camera.instrument == "ACS" else -1.0
    return frame_to_sky(camera_frame(camera, target), sign * postarg[0], sign * postarg[1])


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
        If it names an unknown detector or filter, no exposures, or a visit of another instrument.
    """
    if plan.detector not in CAMERAS:
        raise UsageProblemError(f"no such detector: {plan.detector}", f"take one of {', '.join(CAMERAS)}")
    for name in plan.filters or ("",):
        plan.camera_of(name)
    camera = plan.cameras[0]
    if not VISIT_NAME.fullmatch(plan.visit) or plan.visit[0] != camera.visit_letter:
        raise UsageProblemError(
            f"{plan.visit!r} is not {_article(camera.instrument)} visit",
            f"give six characters, {camera.visit_letter} first: {camera.visit_letter}hap01",
        )
    if not 1 <= plan.exposures * len(plan.filters) <= 26 * 36:
        raise UsageProblemError("a visit has between 1 and 936 exposures", "change --exposures or --filters")
    if len(set(plan.filters)) < len(plan.filters):
        raise UsageProblemError(
            "a filter is named twice", "name each filter once; --exposures says how often"
        )
    if plan.psf not in PSFS:
        raise UsageProblemError(f"no such PSF: {plan.psf}", f"take one of {', '.join(PSFS)}")
    if plan.reference_dir is not None and plan.detector != "WFC":
        raise UsageProblemError("reference files are for ACS/WFC alone", "leave --reference-dir away")
    shape = plan.shape_of(camera)
    if min(shape) < 128 or plan.exposure_time <= 0 or plan.stars < 0 or not abs(plan.dec) <= 90:
        raise UsageProblemError(
            "chips need 128 pixels a side, exposures a time, declinations lie within 90 degrees",
            "change the plan",
        )


def _article(instrument: str) -> str:
    return f"an {instrument}" if instrument == "ACS" else f"a {instrument}"
