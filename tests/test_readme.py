"""The Python of the README runs as it is printed."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from hapctl.processing.simulation.plan import VisitPlan
from hapctl.processing.simulation.visit import simulate_visit

README = Path(__file__).parents[1] / "README.md"
SMALL = VisitPlan(
    visit="jhap01",
    filters=("F606W",),
    exposures=2,
    stars=200,
    galaxies=0,
    pointing_error=0.0,
    roll_error=0.0,
    scale_error=0.0,
    seed=4,
)


def examples() -> list[str]:
    """The blocks of Python in the README."""
    return re.findall(r"^```python\n(.*?)^```$", README.read_text(), re.MULTILINE | re.DOTALL)


def test_a_drizzle_by_hand(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    simulate_visit(tmp_path, replace(SMALL, chip_shape=(200, 400)))
    before = {path: path.read_bytes() for path in tmp_path.glob("*_flc.fits")}
    assert len(before) == 2
    monkeypatch.chdir(tmp_path)
    (example,) = examples()
    names: dict[str, object] = {"__name__": "example"}
    exec(compile(example, str(README), "exec"), names)  # noqa: S102 - the example is ours
    shown = re.fullmatch(
        r"mine\.fits: (\d+) x (\d+) pixels, (\d\.\d) exposures deep\n", capsys.readouterr().out
    )
    assert shown is not None
    assert 1.0 < float(shown[3]) <= 2.0
    exposures = names["exposures"]
    assert isinstance(exposures, list)
    hits = [chip.hits.count() for chips in exposures for chip in chips]
    assert len(hits) == 4
    assert all(0 < count < 0.1 * 200 * 400 for count in hits)
    with fits.open(tmp_path / "mine.fits") as hdus:
        assert [hdu.name for hdu in hdus] == ["PRIMARY", "SCI", "WHT", "CTX", "VAR", "HDRTAB"]
        assert hdus["SCI"].data.shape == (int(shown[2]), int(shown[1]))
        known = hdus["WHT"].data > 0
        assert np.array_equal(np.isfinite(hdus["SCI"].data), known)
        assert (hdus["VAR"].data[known] > 0).all()
        assert hdus["SCI"].header["NOISER"] > 1
        assert hdus[0].header["NUMEXP"] == 2
    assert {path: path.read_bytes() for path in tmp_path.glob("*_flc.fits")} == before
