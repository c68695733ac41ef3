"""How WCS solutions are put in rows and words."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hapctl.archive.wcs_reports import SolutionLine


def solution_row(solution: "SolutionLine") -> dict[str, Any]:
    """A solution as data for lists: all but its long texts."""
    return {key: value for key, value in vars(solution).items() if key not in ("keywords", "s_region")}


def solution_words(solution: "SolutionLine") -> str:
    parts = [solution.full_name, solution.frame]
    if solution.nmatches:
        parts.append(f"{solution.nmatches} stars{rms_words(solution.rms_ra_mas, solution.rms_dec_mas)}")
    parts.append(", ".join(solution.places) or "in the catalog only")
    if solution.problem:
        parts.append(f"never in force: {solution.problem}")
    return "  ".join(parts)


def rms_words(ra: float | None, dec: float | None) -> str:
    return "" if ra is None or dec is None else f", rms {ra:.2f} / {dec:.2f} mas"
