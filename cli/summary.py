"""How a command on several targets ends: counts, a line for each failure, one exit code."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from hapctl.cli.output import say

Result = TypeVar("Result")

GRAVITY = (70, 4, 5, 2, 3, 1, 65)
"""Exit codes, gravest first: our own error, no service, too large, misuse, not found, refused, no data."""


@dataclass(frozen=True)
class Ending:
    """How the work on one target ended.

    Attributes
    ----------
    name : str
        The target.
    outcome : str
        In one word, as it is counted.
    exit_code : int
        That of the command on this target alone.
    message, remedy : str
        Why, where the exit code is not 0.
    """

    name: str
    outcome: str
    exit_code: int = 0
    message: str = ""
    remedy: str = ""

    @property
    def reason(self) -> str:
        """What happened, and what to do."""
        return f"{self.message} ({self.remedy})" if self.remedy else self.message


@dataclass(frozen=True)
class Failure:
    """An error that ended the work on one of several targets."""

    message: str
    remedy: str
    exit_code: int

    def ending(self, name: str) -> Ending:
        """Return it as the ending of a target."""
        return Ending(name, "failed", self.exit_code, self.message, self.remedy)


def attempt(work: Callable[[], Result], *, alone: bool) -> Result | Failure:
    """Work on one target; an error is the command's where it is alone, else it is given back."""
    from hapctl.archive.errors import ArchiveError
    from hapctl.processing.errors import ProcessingError

    try:
        return work()
    except (ArchiveError, ProcessingError) as error:
        if alone:
            raise
        return Failure(error.message, error.remedy, error.exit_code)


def gravest(codes: Iterable[int]) -> int:
    """Return the exit code of several endings: 0 where all is well, else the first of them in `GRAVITY`."""
    bad = {code for code in codes if code}
    unknown = bad.difference(GRAVITY)
    return min(unknown) if unknown else min(bad, key=GRAVITY.index, default=0)


def summary_line(endings: Sequence[Ending], noun: str = "visit") -> str:
    """Return how many targets there were, and how they ended."""
    counts = ", ".join(f"{number} {outcome}" for outcome, number in _counts(endings).items())
    return f"{len(endings)} {noun}{'' if len(endings) == 1 else 's'}: {counts}"


def print_summary(endings: Sequence[Ending], noun: str = "visit") -> None:
    """Say on stderr how several targets ended, each failure in a line with its remedy."""
    if len(endings) < 2:
        return
    say(f"hapctl: {summary_line(endings, noun)}")
    for ending in endings:
        if ending.exit_code:
            named = ending.message.startswith((f"{ending.name}:", f"{ending.name.split()[-1]}:"))
            say(f"hapctl: {'' if named else f'{ending.name}: '}{ending.reason}")


def summary_document(endings: Sequence[Ending]) -> dict[str, Any]:
    """Return the summary for ``--json``: counts by outcome, the failures, the exit code."""
    return {
        "targets": len(endings),
        "counts": _counts(endings),
        "failures": [vars(ending) for ending in endings if ending.exit_code],
        "exit_code": gravest(ending.exit_code for ending in endings),
    }


def _counts(endings: Sequence[Ending]) -> dict[str, int]:
    return dict(Counter(ending.outcome for ending in endings))
