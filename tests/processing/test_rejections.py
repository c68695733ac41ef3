"""What may not be mosaicked: told at ingest, recorded, and the reason why a visit has no products."""

from pathlib import Path

import pytest
from hapctl.archive.database import Catalog
from hapctl.processing.dq_flags import bad_flags
from hapctl.processing.imaging.product_rules import ProductCase
from hapctl.processing.imaging.product_seed import hap_rules
from support.commands import Runner
from support.exposure_files import exposure_file, two_chip_solution
from support.mosaics import rows


def test_a_visit_without_usable_exposures_ends_with_the_reasons(
    run_hapctl: Runner, catalog: Catalog, tmp_path: Path
) -> None:
    cases = {
        "jtest0001": ({}, 0.0, "empty"),
        "jtest0002": ({"SCAN_TYP": "C"}, 1.0, "scan"),
        "jtest0003": ({"EXPTIME": 0.0}, 1.0, "zero_exposure"),
        "jtest0004": ({"FILTER2": "BLOCK3"}, 1.0, "filter"),
    }
    for rootname, (cards, fill, _) in cases.items():
        content = exposure_file(two_chip_solution(rootname, binning=16), primary=cards, fill=fill)
        (tmp_path / f"{rootname}_flc.fits").write_bytes(content)
    assert run_hapctl("ingest", tmp_path).exit_code == 0
    recorded = dict(rows(catalog, "SELECT rootname, exclusion_code FROM exposure"))
    assert recorded == {rootname: code for rootname, (_, _, code) in cases.items()}
    refused = run_hapctl("mosaic", "--visit", "jtest0")
    assert refused.exit_code == 65
    for words in ("all pixels of SCI are 0", "SCAN_TYP C", "exposure time 0", "block3"):
        assert words in refused.stderr


@pytest.mark.parametrize(
    ("exposures", "level"), [(1, "exposure"), (1, "filter"), (2, "filter"), (9, "layer")]
)
def test_blobs_are_accepted_in_the_infrared_and_what_else_is_flagged_is_not(
    exposures: int, level: str
) -> None:
    """HAP accepts flag 512; persistence that a user marks (1024, say) is left out at any level."""
    bits = hap_rules().chosen(ProductCase("IR", level, exposures, 57000.0, "f160w")).drizzle.final.bits  # type: ignore[arg-type]
    assert not bad_flags(bits) & 512
    assert not bad_flags(bits) & 16
    for flag in (1, 4, 8, 32, 64, 128, 256, 1024, 2048, 4096, 8192):
        assert bad_flags(bits) & flag
