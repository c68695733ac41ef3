"""How long products take to make: noted by each run, asked by plans."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from time import monotonic

from hapctl.archive.statements import execute
from sqlalchemy import Connection


class Pace:
    """Adds up, by kind of product (and for masks), seconds that passed and megapixels of input."""

    def __init__(self) -> None:
        self._sums: dict[str, list[float]] = {}

    @contextmanager
    def counted(self, kind: str) -> Iterator[list[int]]:
        """Count the time of a block by the pixels it puts into its list; without any not at all."""
        begun = monotonic()
        pixels: list[int] = []
        yield pixels
        if pixels:
            sums = self._sums.setdefault(kind, [0.0, 0.0])
            sums[0] += monotonic() - begun
            sums[1] += sum(pixels) / 1e6

    def figures(self) -> dict[str, dict[str, float]]:
        """Return what a run keeps in its summary."""
        return {
            kind: {"seconds": round(seconds, 3), "megapixels": round(megapixels, 3)}
            for kind, (seconds, megapixels) in self._sums.items()
            if megapixels > 0
        }


def recorded_pace(connection: Connection) -> Mapping[str, float]:
    """Return the seconds an input megapixel takes, by kind: the median of the newest runs that made such."""
    return {row.kind: float(row.seconds) for row in execute(connection, "pace_of_runs")}
