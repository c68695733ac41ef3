"""Right or refused: random fields of ACS/WFC exposures with 15, 8, 4, 3, 2 or 0 true stars in the catalog.

Each field goes the whole way, from lists of sources to judged solutions. A false acceptance is an exposure
put into the catalog's frame whose rms error over the field exceeds 5 times the predicted one plus 5 mas.
``PYTHONPATH=tests python tests/benchmarks/bench_false_acceptance.py --count 20000 --keep FILE`` keeps a line
of every field, and goes on where it was when it is begun again.
"""

import argparse
import json
import os
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from support.random_field_outcomes import seed_row
from support.random_fields import STAR_COUNTS

FIELDS = 240
"""Fields of a run without arguments; a full one has 20,000."""


def outcomes(seeds: Iterable[int], processes: int) -> Iterator[dict[str, Any]]:
    """Rows of fields, in order of the seeds."""
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        yield from pool.map(seed_row, seeds, chunksize=8)


def summary(rows: list[dict[str, Any]]) -> list[str]:
    """Words with the figures of a number of fields."""
    exposures, accepted, codes = Counter[int](), Counter[int](), defaultdict(Counter[str])
    for row in rows:
        for exposure in row["exposures"]:
            exposures[row["true_stars"]] += 1
            accepted[row["true_stars"]] += exposure["frame"] == "catalog"
            codes[row["true_stars"]][exposure["code"]] += exposure["frame"] != "catalog"
    false = [row["seed"] for row in rows if row["false"]]
    torn = [row["seed"] for row in rows if row["torn"]]
    broken = [row["seed"] for row in rows if "broken" in row]
    lines = [
        f"{len(rows)} fields, {sum(exposures.values())} exposures, {sum(accepted.values())} accepted, "
        f"false: {len(false)} {false[:10]}, exposures that lie wrong on each other: {len(torn)} {torn[:10]}",
        f"fields that ended in an error: {len(broken)} {broken[:10]}",
        f"fields with decoys: {sum(row['decoys'] for row in rows)}; "
        f"{sum(row['seconds'] for row in rows) / max(len(rows), 1):.3f} s a field",
    ]
    for count in STAR_COUNTS:
        if exposures[count]:
            reasons = ", ".join(f"{code} {number}" for code, number in codes[count].most_common(6) if number)
            part = 100.0 * accepted[count] / exposures[count]
            lines.append(f"{count:2d} true stars: {part:5.1f} % accepted of {exposures[count]}; {reasons}")
    return lines


def kept_rows(path: Path | None) -> list[dict[str, Any]]:
    """What an earlier run left."""
    if path is None or not path.exists():
        return []
    return [json.loads(line) for line in path.read_text().splitlines() if line.endswith("}")]


def main(arguments: list[str] | None = None) -> None:
    """Print acceptance by number of true stars, and every false acceptance."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--count", type=int, default=FIELDS)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--keep", type=Path)
    chosen = parser.parse_args(arguments or [])
    os.nice(max(0, 10 - os.nice(0)))
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ[name] = "1"
    rows = kept_rows(chosen.keep)
    done = {row["seed"] for row in rows}
    seeds = [seed for seed in range(chosen.first, chosen.first + chosen.count) if seed not in done]
    for row in outcomes(seeds, chosen.processes):
        rows.append(row)
        if chosen.keep is not None:
            with chosen.keep.open("a") as file:
                file.write(json.dumps(row) + "\n")
    print("\n".join(summary(rows)))


if __name__ == "__main__":
    main(sys.argv[1:])
