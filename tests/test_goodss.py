"""WFC3/IR on a real field without Gaia: eight direct exposures of two visits, and two with a grism."""

import numpy as np
import pytest
from hapctl.archive.database import Catalog
from hapctl.processing.astrometry.acceptance import AcceptanceRule
from hapctl.processing.astrometry.joint_alignment import align_jointly
from sqlalchemy import text
from support.commands import Runner
from support.data import data_file
from support.held_out import HeldOutPair, measured, stars_of, without

FIRST = ("ib6o21qnq", "ib6o21qqq", "ib6o21r7q", "ib6o21raq")
SECOND = ("ib6o23rtq", "ib6o23rwq", "ib6o23rzq", "ib6o23s2q")
GRISM = {"ib6o21qmq": "ib6o21qnq", "ib6o23rsq": "ib6o23rtq"}
FOLDS = 5


def file_of(rootname: str) -> str:
    return str(data_file(f"wfc3ir_goodss/{rootname}_flt.fits.gz"))


def test_sources_held_out_of_the_fit_agree() -> None:
    """Each fifth of the shared sources is left out in turn: its mean offset is nothing, in every pair."""
    exposures = measured([data_file(f"wfc3ir_goodss/{name}_flt.fits.gz") for name in (*FIRST, *SECOND)])
    together = align_jointly(exposures, None, AcceptanceRule())
    assert [outcome.frame for outcome in together.outcomes] == ["relative"] * 8
    stars = stars_of(exposures, together)
    numbers = np.unique(np.concatenate(stars))
    found: dict[tuple[int, int], list[HeldOutPair]] = {}
    for fold in range(FOLDS):
        held_out = numbers[(numbers >= 0) & (numbers % FOLDS == fold)]
        for pair in without(exposures, stars, held_out)[1]:
            found.setdefault((pair.first, pair.second), []).append(pair)
    compared = 0
    for (first, second), parts in found.items():
        offsets = np.concatenate([part.offsets for part in parts])
        if len(offsets) < 3:
            continue
        compared += 1
        mean, errors = HeldOutPair(first, second, offsets, offsets).mean()
        assert mean < 10.0 or errors < 2.5, (exposures[first].rootname, exposures[second].rootname)
    assert compared >= 21


@pytest.fixture
def hapctl(run_hapctl: Runner) -> Runner:
    for rootname in (*FIRST, *SECOND, *GRISM):
        file_of(rootname)
    result = run_hapctl("ingest", *map(file_of, (*FIRST, *SECOND, *GRISM)))
    assert result.exit_code == 0, result.stderr
    return run_hapctl


def test_names_are_honest_and_grism_exposures_follow(hapctl: Runner, catalog: Catalog) -> None:
    result = hapctl("align", "--visit", "ib6o21", "--visit", "ib6o23", "--catalog", "none", "--json")
    assert result.exit_code == 0, result.stderr
    done = {e["rootname"]: e for visit in result.json()["visits"] for e in visit["exposures"]}
    assert {done[name]["wcsname"] for name in (*FIRST, *SECOND)} == {"IDC_w3m18525i-FIT_SVM_NONE"}
    for grism, direct in GRISM.items():
        assert done[grism]["wcsname"] == "OPUS-FIT_SVM_NONE"
        assert f"takes the correction of {direct}" in hapctl("wcs", "why", grism).stdout
    with catalog.begin() as connection:
        frames = connection.execute(text("SELECT DISTINCT frame FROM active_solution")).scalars().all()
    assert len(frames) == 2
    assert all(frame.startswith("alignment group") for frame in frames)
    result = hapctl("align", "--exposures", *FIRST, *SECOND, "--catalog", "none", "--json")
    assert result.exit_code == 0, result.stderr
    names = {exposure["wcsname"] for exposure in result.json()["exposure_lists"][0]["exposures"]}
    assert names == {"IDC_w3m18525i-FIT_REL_NONE"}
    assert "no catalog ties it to the sky" in hapctl("wcs", "why", FIRST[0]).stdout
