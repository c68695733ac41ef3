"""`hapctl tweak`: images brought onto a reference from files alone, without a catalog of exposures.

Nothing is written here (`tweak_writing` does); no file that is read is ever changed unless asked for.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from hapctl.archive.reference_catalogs import ReferenceServices
from hapctl.processing.astrometry.acceptance import Verdict
from hapctl.processing.astrometry.headerlet import headerlet_name
from hapctl.processing.astrometry.joint_alignment import (
    ExposureOutcome,
    ExposureSources,
    JointAlignment,
    align_jointly,
)
from hapctl.processing.astrometry.joint_model import ExposurePrior
from hapctl.processing.astrometry.joint_priors import exposure_priors, facts_of
from hapctl.processing.astrometry.mapping import pixel_to_sky
from hapctl.processing.astrometry.match_files import MatchTable, match_table
from hapctl.processing.astrometry.plane import PlaneFit, TangentPlane, moved_solution, sky_matrix
from hapctl.processing.astrometry.shift_file import ShiftFrame, ShiftRow, shift_frame, shift_row
from hapctl.processing.astrometry.solution import LookupOrigin, WcsSolution
from hapctl.processing.astrometry.source_list import SourceList, middle_of
from hapctl.processing.astrometry.star_residuals import StarResiduals, residuals_of
from hapctl.processing.astrometry.tweak_choices import acceptance_rule, free_prior, search_radius
from hapctl.processing.astrometry.tweak_parameters import TweakParameters
from hapctl.processing.astrometry.wcsname import wcstype_text
from hapctl.processing.errors import NoViableDataError, UsageProblemError
from hapctl.processing.imaging.input_files import LeftOut
from hapctl.processing.pipeline.tweak_inputs import TweakImage, read_images
from hapctl.processing.pipeline.tweak_reference import Reference, reference_for

_OF_A_FIT = (
    *("RMS_RA", "RMS_DEC", "CRDER1", "CRDER2", "NMATCHES", "FITGEOM", "WCSTYPE", "HDRNAME", "CATALOG"),
    *("RELGEOM", "RELMATCH", "RELRMS_D", "RELRMS_R", "RELREFIM", "DATE", "AUTHOR", "DESCRIP"),
    *("FITMETH", "FIT_RMS"),
)
"""Keywords of a fit, which a new one must not inherit."""


@dataclass(frozen=True)
class TweakedImage:
    """What became of an image.

    Attributes
    ----------
    image : TweakImage
    accepted : bool
        Whether there is a new solution that may be used.
    code, reason : str
        Of the verdict.
    frame : str
        What the residuals are against: the reference, or other images.
    to_catalog : bool
        Whether the new solution is good in the frame of the reference.
    solution : WcsSolution or None
        The new one, named, with the keywords of its fit.
    fit : PlaneFit
        Takes places by the old WCS to those by the new one, in the plane of the alignment.
    residuals : StarResiduals
    matches : MatchTable
    row : ShiftRow or None
    predicted_error_mas : float
    """

    image: TweakImage
    accepted: bool
    code: str
    reason: str
    frame: str
    to_catalog: bool
    solution: WcsSolution | None
    fit: PlaneFit
    residuals: StarResiduals
    matches: MatchTable
    row: ShiftRow | None
    predicted_error_mas: float

    @property
    def used(self) -> int:
        """Stars that the fit used."""
        return int(np.count_nonzero(self.residuals.used))

    @property
    def rms_mas(self) -> tuple[float, float]:
        """Of their residuals, east and north; NaN without any."""
        used = self.residuals.used
        if not used.any():
            return float("nan"), float("nan")
        vectors = np.column_stack([self.residuals.east, self.residuals.north])[used]
        rms = np.sqrt(np.mean(vectors**2, axis=0))
        return float(rms[0]), float(rms[1])


@dataclass(frozen=True)
class Tweaked:
    """All images, in order, the frame of the shift file, the reference, and what was left out."""

    images: tuple[TweakedImage, ...]
    frame: ShiftFrame
    reference: Reference
    radius: float
    left_out: tuple[LeftOut, ...]


def tweak(
    names: Sequence[str],
    parameters: TweakParameters,
    services: ReferenceServices | None = None,
    *,
    on_images: Callable[[Sequence[TweakImage]], None] = lambda _: None,
    on_progress: Callable[[str], None] = lambda _: None,
) -> Tweaked:
    """Align images to a reference, or to each other.

    Parameters
    ----------
    names : sequence of str
        Files, patterns, @lists, associations.
    parameters : TweakParameters
    services : ReferenceServices, optional
        Where a catalog named by `refcat` is asked; None: not at all.
    on_images : callable
        Given the images before they are aligned; may refuse them.
    on_progress : callable
        Told in words what is being done.

    Raises
    ------
    ProcessingError
        Of the files, lists, names.
    NoViableDataError
        No image is left, or a single one without a reference.
    """
    images, left_out = read_images(names, parameters, on_progress)
    if not images:
        reasons = "; ".join(f"{one.name}: {one.reason}" for one in left_out)
        raise NoViableDataError(f"no image is left to align: {reasons}", "give other files")
    on_images(images)
    first = shift_frame([one.start for one in images], _plane(images, parameters), parameters.lookup_origin)
    rule, radius = acceptance_rule(parameters, first.scale), search_radius(parameters, first.scale)
    reference = reference_for(images, parameters, radius, services, on_progress)
    if reference.stars is None and len(images) == 1:
        raise UsageProblemError("one image has nothing to be aligned to", "give --refcat, or more images")
    guess = PlaneFit.similarity(first.offset(-parameters.match.xoffset, -parameters.match.yoffset))
    exposures = exposure_sources(images, parameters, radius, guess, first.plane)
    on_progress(f"fitting {len(exposures)} images to {reference.name}")
    alignment = align_jointly(exposures, reference.stars, rule, origin=parameters.lookup_origin)
    frame = replace(first, plane=alignment.plane)
    results = tuple(
        _result(number, image, exposures[number], alignment, guess, frame, reference, parameters)
        for number, image in enumerate(images)
    )
    return Tweaked(results, frame, reference, radius, tuple(left_out))


def _plane(images: Sequence[TweakImage], parameters: TweakParameters) -> TangentPlane:
    return middle_of([one.start for one in images], parameters.lookup_origin)


def exposure_sources(
    images: Sequence[TweakImage],
    parameters: TweakParameters,
    radius: float,
    guess: PlaneFit,
    plane: TangentPlane,
) -> list[ExposureSources]:
    """The images as a joint alignment takes them: moved by the first guess, with the geometry's priors."""
    origin, matrix = parameters.lookup_origin, sky_matrix(guess, plane)
    exposures = []
    for image, prior in zip(images, priors_of(images, parameters, radius), strict=True):
        start, sources = image.start, image.sources
        if np.any(guess.shift != 0):
            start = moved_solution(start, matrix)
            sources = placed_sources(sources, start, origin)
        exposures.append(ExposureSources(image.facts.name, start, sources, image.facts.mjd, prior))
    return exposures


def placed_sources(sources: SourceList, solution: WcsSolution, origin: LookupOrigin) -> SourceList:
    """The same sources where another WCS has them."""
    ra, dec = sources.ra.copy(), sources.dec.copy()
    for chip in solution.chips:
        here = sources.extver == chip.extver
        ra[here], dec[here] = pixel_to_sky(chip, sources.x[here], sources.y[here], origin)
    return replace(sources, ra=ra, dec=dec)


def hst_priors(images: Sequence[TweakImage]) -> list[ExposurePrior]:
    """What is known of HST's pointing, by the headers and what lies beside the files."""
    facts = [
        facts_of(
            image.start,
            visit=image.facts.visit,
            detector=image.facts.detector,
            start_mjd=image.facts.start_mjd,
            fgs_lock=image.facts.fgs_lock,
            guide_stars=image.facts.guide_stars,
        )
        for image in images
    ]
    return [stated.prior for stated in exposure_priors(facts)]


def priors_of(
    images: Sequence[TweakImage], parameters: TweakParameters, radius: float
) -> list[ExposurePrior]:
    """What is known of each image beforehand, by the geometry."""
    geometry = parameters.fit.fitgeometry
    if geometry == "hst":
        return hst_priors(images)
    return [free_prior(number, geometry, radius) for number in range(len(images))]


def _result(
    number: int,
    image: TweakImage,
    exposure: ExposureSources,
    alignment: JointAlignment,
    guess: PlaneFit,
    frame: ShiftFrame,
    reference: Reference,
    parameters: TweakParameters,
) -> TweakedImage:
    outcome, plane = alignment.outcomes[number], alignment.plane
    accepted, verdict = _judged(outcome, alignment, to_catalog=reference.stars is not None)
    to_catalog = outcome.frame == "catalog"
    against = to_catalog and bool(np.any(outcome.matches.reference >= 0))
    original = replace(exposure, start=image.start, sources=image.sources)
    fit = (outcome.fit or PlaneFit.identity()).after(guess)
    weights = alignment.groups[outcome.group].solution.catalog_weights if outcome.group >= 0 else None
    residuals = residuals_of(
        number,
        original,
        outcome,
        plane,
        against_catalog=against,
        reference=reference.stars,
        catalog_weights=weights,
    )
    matches = match_table(original, replace(outcome, fit=fit), plane, frame, against_catalog=against)
    vectors = np.column_stack([residuals.east, residuals.north])[residuals.used]
    result = TweakedImage(
        image=image,
        accepted=accepted,
        code=verdict.code,
        reason=verdict.reason,
        frame=_frame_words(reference.name, to_catalog=to_catalog, own_stars=against),
        to_catalog=to_catalog,
        solution=None,
        fit=fit,
        residuals=residuals,
        matches=matches,
        row=shift_row(image.path.name, frame, fit, vectors) if accepted else None,
        predicted_error_mas=outcome.predicted_error_mas,
    )
    if not accepted or outcome.solution is None:
        return result
    return replace(result, solution=named_solution(result, outcome.solution, reference, parameters))


def _frame_words(reference: str, *, to_catalog: bool, own_stars: bool) -> str:
    """What the residuals of an image are against."""
    if not to_catalog:
        return "the other images"
    return reference if own_stars else f"other images that are tied to {reference}"


def _judged(outcome: ExposureOutcome, alignment: JointAlignment, *, to_catalog: bool) -> tuple[bool, Verdict]:
    """Whether there is a new solution of the kind that was asked for, and the verdict on it."""
    if outcome.solution is None or outcome.frame == "none":
        return False, outcome.verdict
    if to_catalog:
        return outcome.frame == "catalog" and outcome.verdict.accepted, outcome.verdict
    members = alignment.groups[outcome.group].members if outcome.group >= 0 else ()
    if len(members) < 2:
        return False, outcome.relative or outcome.verdict
    reason = f"brought onto {len(members) - 1} other image{'s' if len(members) > 2 else ''}"
    return True, outcome.relative or Verdict(True, "accepted", reason)


def named_solution(
    result: TweakedImage, moved: WcsSolution, reference: Reference, parameters: TweakParameters
) -> WcsSolution:
    """The new solution under its name, with what the fit says of itself."""
    given, name = parameters.headerlet, parameters.header.wcsname
    keywords = {key: value for key, value in moved.keywords.items() if key not in _OF_A_FIT}
    rms = result.rms_mas
    if np.isfinite(rms).all():
        keywords |= {"RMS_RA": round(rms[0], 3), "RMS_DEC": round(rms[1], 3)}
        keywords |= {"CRDER1": round(rms[0], 3) / 3.6e6, "CRDER2": round(rms[1], 3) / 3.6e6}
    keywords |= {
        "NMATCHES": result.used,
        "FITGEOM": parameters.fit.fitgeometry,
        "WCSTYPE": wcstype_text(name),
    }
    catalog = given.catalog or reference.catalog or (reference.name if reference.stars is not None else "")
    told = {"CATALOG": catalog, "AUTHOR": given.author, "DESCRIP": given.descrip, "HDRNAME": given.hdrname}
    keywords |= {key: value for key, value in told.items() if value}
    solution = replace(moved, name=name, keywords=keywords, problem="")
    if "HDRNAME" in keywords:
        return solution
    hdrname = headerlet_name(solution, result.image.facts.suffix)
    return replace(solution, keywords={**keywords, "HDRNAME": hdrname})
