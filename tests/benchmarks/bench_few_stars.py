"""Right or refused on pixels: 20 sparse simulated visits with 15, 8, 4, 3, 2 or 0 true stars in the catalog.

Two or three ACS/WFC exposures of 1024 x 2048 pixels a chip, 400 s each, with their cosmic rays, galaxies and
pointing errors to 0.6 arcsec; two catalogs in three have wrong stars too, 0.05 to 5 arcsec off. A false
acceptance is as in bench_false_acceptance: an exposure in the catalog's frame whose rms error exceeds 5 times
the predicted one plus 5 mas.
"""

import tempfile
from pathlib import Path

import numpy as np
from support.sparse_visits import TRUE_STARS, SparseOutcome, sparse_outcome


def show(number: int, outcome: SparseOutcome) -> None:
    """Print one field."""
    rows = outcome.exposures
    tied = [row for row in rows if row.frame == "catalog"]
    frames = ", ".join(f"{row.frame} ({row.code})" for row in rows)
    error = ""
    if tied:
        rms, predicted = (max(getattr(row, name) for row in tied) for name in ("error_mas", "predicted_mas"))
        error = f"; rms {rms:.2f} mas, predicted {predicted:.2f}, {tied[0].stars} stars"
    print(
        f"  field {number:2d}: {outcome.true_stars:2d} true, {outcome.wrong_stars} wrong, {outcome.sources} "
        f"sources: {frames}{error}{'; FALSE' if outcome.false else ''}; apart {outcome.torn_mas:.2f} mas",
        flush=True,
    )


def main() -> None:
    """Print every field and the sums."""
    outcomes = []
    for number in range(len(TRUE_STARS)):
        with tempfile.TemporaryDirectory() as folder:
            outcomes.append(sparse_outcome(Path(folder), number))
        show(number, outcomes[-1])
    for count in sorted(set(TRUE_STARS), reverse=True):
        rows = [row for one in outcomes if one.true_stars == count for row in one.exposures]
        tied = [row for row in rows if row.frame == "catalog"]
        ratio = np.sqrt(np.mean([(row.error_mas / row.predicted_mas) ** 2 for row in tied])) if tied else 0.0
        text = f"; error / predicted {ratio:.2f}" if tied else ""
        print(f"  {count:2d} true stars: {len(tied)} of {len(rows)} exposures accepted{text}")
    print(f"  false acceptances: {sum(one.false for one in outcomes)} of {len(outcomes)} fields")


if __name__ == "__main__":
    main()
