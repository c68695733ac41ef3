"""The memory of a run against what was predicted before it."""

from pathlib import Path

from hapctl.archive.database import Catalog
from support.commands import Runner
from support.mosaics import rows, small_visit


def test_a_run_with_colour_pictures_needs_no_more_than_was_predicted(
    run_hapctl_apart: Runner, catalog: Catalog, tmp_path: Path
) -> None:
    visit = small_visit(tmp_path, filters=("F606W", "F814W"), exposures=1, chip_shape=(700, 1400))
    assert run_hapctl_apart("ingest", *visit.files).exit_code == 0
    tile = rows(catalog, "SELECT name FROM sky_cell ORDER BY 1 LIMIT 1")[0][0]
    command = ("mosaic", "--tile", tile, "--wcs-policy", "any", "--threads", 2, "--json")
    plan = run_hapctl_apart(*command, "--dry-run").json()
    predicted = max(one["memory_bytes"] for one in plan["products"])
    assert run_hapctl_apart(*command).exit_code == 0
    ((peak,),) = rows(catalog, "SELECT max(peak_memory_bytes) FROM run_status WHERE command = 'mosaic'")
    assert 0.4 * predicted < peak <= predicted, (peak, predicted)
