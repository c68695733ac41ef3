"""Figures of a joint alignment as they stand in rows: of the group, of an exposure, of what moved."""

from typing import Any

import numpy as np
from hapctl.processing.astrometry.acceptance import Evidence
from hapctl.processing.astrometry.joint_alignment import ExposureOutcome
from hapctl.processing.astrometry.joint_model import JointSolution
from hapctl.processing.astrometry.plane import PlaneFit, TangentPlane
from hapctl.processing.astrometry.source_list import SourceList
from hapctl.processing.pipeline.set_alignment import SetAlignment, SolvedGroup


def group_figures(group: SolvedGroup) -> dict[str, Any]:
    """Figures of a joint solution."""
    solution, plane = group.group.solution, group.alignment.plane
    used = solution.catalog_weights > 0
    rms = 1e3 * np.sqrt(np.mean(solution.catalog_residuals[used] ** 2)) if used.any() else np.nan
    return {
        "chi_squared": plain(solution.chi_squared),
        "freedom": int(solution.freedom),
        "rescaling": plain(solution.rescaling),
        "stars": len(solution.stars),
        "catalog_stars": int(np.count_nonzero(used)),
        "catalog_rms_mas": plain(rms),
        "frame": solution.frame,
        "plane": [plane.ra, plane.dec],
        "verdict": group.group.verdict.code,
        "reason": group.group.verdict.reason,
        "evidence": evidence_figures(group.group.evidence),
        "overlap": dict(group.overlap),
    }


def evidence_figures(evidence: Evidence | None) -> dict[str, Any]:
    """What was judged: stars, chance, decoys, scatter, and what else was found on the way."""
    if evidence is None:
        return {}
    figures: dict[str, Any] = {name: plain(value) for name, value in evidence.figures.items()}
    figures |= {
        "found_by": evidence.method,
        "stars": evidence.stars,
        "log10_expected": plain(evidence.log10_expected),
        "log10_chance": plain(evidence.log10_chance),
        "decoys": evidence.decoys,
        "best_decoy": evidence.decoy_score,
        "confirmed": evidence.confirmed,
        "rms_mas": plain(evidence.rms_mas),
    }
    return figures | {f"mean_residual_mas {e.rootname}": round(e.mean_mas, 3) for e in evidence.exposures}


def metrics_of(
    done: SetAlignment, number: int, outcome: ExposureOutcome, group: SolvedGroup | None
) -> dict[str, Any]:
    """Further figures of an attempt: what was judged, and what the solution says of the exposure."""
    known, matches = done.part.priors[number], outcome.matches
    used = matches.weights > 0
    metrics: dict[str, Any] = {
        "method": done.rung.method,
        "rung_geometry": done.rung.geometry,
        "guide_star_set": known.prior.guide_star_set,
        "prior": known.why,
        "stars_used": int(np.count_nonzero(used)),
        "catalog_stars_used": int(np.count_nonzero(matches.ties)),
        "predicted_error_mas": plain(outcome.predicted_error_mas),
    }
    metrics |= evidence_figures(outcome.evidence)
    if outcome.relative is not None:
        relative = outcome.relative
        metrics["relative"] = {
            "accepted": relative.accepted,
            "code": relative.code,
            "reason": relative.reason,
        }
    if group is not None:
        metrics["group_exposures"] = len(group.numbers)
        if len(group.numbers) > 1:
            metrics["relative_error_mas"] = plain(
                relative_error_mas(group.group.solution, group.position(number))
            )
    return metrics


def relative_error_mas(solution: JointSolution, number: int) -> float:
    """Two-dimensional standard error of an exposure's centre against the mean of its group, mas.

    What all exposures have in common, the pointing on the sky, is left out: of a relative solution this is
    the error that counts inside the group.
    """
    size = len(solution.corrections)
    total = 0.0
    for axis in (0, 1):
        own = np.full(size, -1.0 / size)
        own[number] += 1.0
        total += float(own @ solution.covariance[axis::6, axis::6] @ own)
    return 1e3 * float(np.sqrt(max(total, 0.0)))


def movement(fit: PlaneFit | None, sources: SourceList, plane: TangentPlane) -> dict[str, Any]:
    """Shift at the middle of the exposure's sources, rotation east of north, scale."""
    names = ("shift_ra_mas", "shift_dec_mas", "rotation_deg", "scale_ratio")
    if fit is None or len(sources) == 0:
        return dict.fromkeys(names)
    middle = sources.in_plane(plane).points.mean(axis=0)
    shift = 1e3 * (fit(middle[None, :])[0] - middle)
    # the plane's roll turns from east to north, a position angle the other way
    values = (float(shift[0]), float(shift[1]), -fit.roll_deg, fit.scale)
    return dict(zip(names, values, strict=True))


def plain(value: float | None) -> float | None:
    """A number as JSON holds it; None where there is none."""
    return float(value) if value is not None and np.isfinite(value) else None
