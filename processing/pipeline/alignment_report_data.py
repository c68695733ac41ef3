"""What a report of an alignment is made from: rows of the catalog, put together once."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from hapctl.archive.alignment_reports import (
    OtherRun,
    ReportedAnswer,
    ReportedAttempt,
    ReportedGroup,
    ReportedMember,
    ReportedRun,
    StarRows,
    Subject,
    answers_of,
    attempts_of,
    groups_of,
    matched_stars,
    members_of,
    other_runs,
    reported_run,
    stars_of_answer,
)
from hapctl.archive.database import Catalog
from hapctl.archive.products import LeftOutExposure, left_out_exposures
from hapctl.processing.astrometry.gaia_cleaning import clean_stars
from hapctl.processing.astrometry.reference_stars import ReferenceStars
from hapctl.processing.astrometry.solution import WcsSolution
from hapctl.processing.pipeline.solution_store import solution_from_catalog
from sqlalchemy import Connection


@dataclass(frozen=True)
class UsedAnswer:
    """An answer of a reference catalog, its clean stars, and how many were removed, by code."""

    answer: ReportedAnswer
    stars: ReferenceStars
    removed: Mapping[str, int]


@dataclass(frozen=True)
class AlignmentReport:
    """All that is told of an alignment.

    Attributes
    ----------
    subject : Subject
    run : ReportedRun
    attempts : sequence of ReportedAttempt
        In the order they were made.
    groups, members : sequence
        Of what was accepted.
    answers : sequence of UsedAnswer
    stars : StarRows
        Of all attempts; `stars_of` selects those of one.
    solutions : mapping of int to WcsSolution
        Those begun with and those found, by number.
    others : sequence of OtherRun
        Other runs on the same exposures.
    left_out : sequence of LeftOutExposure
        Exposures of the visit that may not be aligned.
    """

    subject: Subject
    run: ReportedRun
    attempts: Sequence[ReportedAttempt]
    groups: Sequence[ReportedGroup]
    members: Sequence[ReportedMember]
    answers: Sequence[UsedAnswer]
    stars: StarRows
    solutions: Mapping[int, WcsSolution]
    others: Sequence[OtherRun]
    left_out: Sequence[LeftOutExposure]

    @cached_property
    def final(self) -> Mapping[str, ReportedAttempt]:
        """The last attempt on each exposure, by rootname: the climb ends where one is accepted."""
        return dict(sorted({attempt.rootname: attempt for attempt in self.attempts}.items()))

    @property
    def accepted(self) -> list[ReportedAttempt]:
        """The attempts that gave the exposures their solutions."""
        return [attempt for attempt in self.final.values() if attempt.accepted]

    @property
    def refused(self) -> list[ReportedAttempt]:
        """All attempts that were refused."""
        return [attempt for attempt in self.attempts if not attempt.accepted]

    def member(self, attempt: ReportedAttempt) -> ReportedMember | None:
        """What the joint solution says of an exposure; None of one that was not in it."""
        wanted = (attempt.alignment_group_id, attempt.exposure_id)
        return next((m for m in self.members if (m.alignment_group_id, m.exposure_id) == wanted), None)

    def stars_of(self, attempt: ReportedAttempt) -> StarRows:
        """The matched stars of an attempt."""
        return self.stars[self.stars.attempt_id == attempt.evidence_id]

    def reference(self) -> ReferenceStars | None:
        """The clean stars of all answers, each once; None where no catalog was used."""
        if not self.answers:
            return None
        names = ReferenceStars.__dataclass_fields__
        together = ReferenceStars(
            **{name: np.concatenate([getattr(one.stars, name) for one in self.answers]) for name in names}
        )
        return together[np.unique(together.source_id, return_index=True)[1]]


def gathered(catalog: Catalog, subject: Subject) -> AlignmentReport:
    """Read all that the catalog holds of an alignment.

    Raises
    ------
    NotInCatalogError
        The run is not there, or aligned nothing.
    """
    with catalog.begin() as connection:
        run = reported_run(connection, subject.run_id)
        attempts = attempts_of(connection, subject)
        group_ids = sorted({a.alignment_group_id for a in attempts if a.alignment_group_id is not None})
        evidence = sorted({attempt.evidence_id for attempt in attempts})
        exposure_ids = sorted({attempt.exposure_id for attempt in attempts})
        return AlignmentReport(
            subject=subject,
            run=run,
            attempts=attempts,
            groups=groups_of(connection, group_ids),
            members=members_of(connection, group_ids),
            answers=[_used(connection, answer) for answer in answers_of(connection, evidence)],
            stars=matched_stars(connection, evidence),
            solutions=_solutions(connection, attempts),
            others=other_runs(connection, exposure_ids, subject.run_id),
            left_out=_left_out(connection, subject, attempts),
        )


def _used(connection: Connection, answer: ReportedAnswer) -> UsedAnswer:
    """What the alignment had of an answer: the same cleaning again."""
    cleaned = clean_stars(stars_of_answer(connection, answer), answer.release)
    return UsedAnswer(answer, cleaned.stars, dict(Counter(star.code for star in cleaned.removed)))


def _solutions(connection: Connection, attempts: Sequence[ReportedAttempt]) -> dict[int, WcsSolution]:
    numbers = {attempt.from_solution_id for attempt in attempts}
    numbers |= {attempt.solution_id for attempt in attempts if attempt.solution_id is not None}
    return {number: solution_from_catalog(connection, number) for number in sorted(numbers)}


def _left_out(
    connection: Connection, subject: Subject, attempts: Sequence[ReportedAttempt]
) -> list[LeftOutExposure]:
    """Exposures of the visit that no attempt was made on, with the reason."""
    if subject.visit is None:
        return []
    tried = {attempt.exposure_id for attempt in attempts}
    return [
        one for one in left_out_exposures(connection, visit=subject.visit) if one.exposure_id not in tried
    ]
