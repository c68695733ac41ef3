"""What is known of exposures before a star is looked at, from their rows: guide-star sets and priors."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hapctl.archive.alignments import PointingFacts
from hapctl.archive.products import EligibleExposure
from hapctl.processing.astrometry.joint_model import ExposurePrior
from hapctl.processing.astrometry.solution import WcsSolution


@dataclass(frozen=True)
class KnownPrior:
    """A prior, and in words what it rests on."""

    prior: ExposurePrior
    why: str


def known_priors(
    exposures: Sequence[EligibleExposure],
    starts: Sequence[WcsSolution],
    facts: Sequence[PointingFacts],
    jit_folder: Path | None,
) -> tuple[KnownPrior, ...]:
    """Return what is known of each exposure."""
    keys = sorted({(e.visit, e.detector) for e in exposures})
    return tuple(
        KnownPrior(ExposurePrior(keys.index((e.visit, e.detector)), 1.0), "visit and detector")
        for e in exposures
    )
