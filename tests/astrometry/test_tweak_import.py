"""TweakReg's configurations: every name is mapped or told."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hapctl.processing.astrometry.joint_restraints import restraint
from hapctl.processing.astrometry.tweak_choices import acceptance_rule, free_prior
from hapctl.processing.astrometry.tweak_import import choose_tweak, import_tweakreg
from hapctl.processing.astrometry.tweak_parameters import TWEAK, TweakParameters
from hapctl.processing.errors import UsageProblemError
from hapctl.processing.parameter_file import changed

# As TEAL writes them: comments behind values, sections, a section of code.
TWEAKREG = """\
_task_name_ = tweakreg#
input = *flt.fits# files
refimage = ""# reference
expand_refcat = False#
enforce_user_order = True#
exclusions = ""#
writecat = True#
clean = False#
interactive = True#
verbose = False#
runfile = "tweakreg.log"#

[UPDATE HEADER]
updatehdr = True# update?
wcsname = "GAIA"#
reusename = False#

[HEADERLET CREATION]
headerlet = True#
attach = False#
hdrname = ""#
author = "A. Nonym"#

[OPTIONAL SHIFTFILE OUTPUT]
shiftfile = True#
outshifts = s.txt#

[COORDINATE FILE DESCRIPTION]
catfile = ""#
xcol = 1#
nbright = 500#
maxflux = None#

[REFERENCE CATALOG DESCRIPTION]
refcat = gaia.cat#
rfluxcol = 3#
rmaxflux = 21.0#

[OBJECT MATCHING PARAMETERS]
minobj = 10#
searchrad = 20.0#
searchunits = pixels#
use2dhist = True#
see2dplot = False#
tolerance = 1.5#

[CATALOG FITTING PARAMETERS]
fitgeometry = rscale#
residplot = No plot#
ylimit = None#
labelsize = 8#
nclip = 3#
sigma = 3.0#

[ _RULES_ ]
_rule1_ = ""#
"""
FINDER = """\
_task_name_ = imagefindpars#
computesig = True#
skysigma = 0.0#
conv_width = 3.5#
threshold = 4.0#
nsigma = 1.5#
dqbits = 64,32#
fluxmin = 100.0#
use_sharp_round = False#
sharplo = 0.2#
"""


def written(tmp_path: Path, text: str, name: str = "tweakreg.cfg") -> Path:
    path = tmp_path / name
    path.write_text(text)
    return path


def test_every_name_is_mapped_or_told(tmp_path: Path) -> None:
    done = import_tweakreg(written(tmp_path, TWEAKREG))
    parameters = changed(TweakParameters(), done.changes)
    assert (parameters.header.updatehdr, parameters.header.wcsname) == (True, "GAIA")
    assert (parameters.headerlet.headerlet, parameters.headerlet.attach) == (True, False)
    assert (parameters.reference.refcat, parameters.reference.rmaxflux) == ("gaia.cat", 21.0)
    assert (parameters.sources.xcol, parameters.sources.nbright) == ("1", 500)
    assert (parameters.match.searchrad, parameters.match.searchunits) == (20.0, "pixels")
    assert (parameters.fit.fitgeometry, parameters.output.residplot) == ("rscale", "none")
    told = " ".join(done.notes)
    mapped = {change.parameter.name for change in done.changes}
    for line in TWEAKREG.splitlines():
        name, equals, value = line.partition(" = ")
        if equals and not name.startswith("_") and value.partition("#")[0].strip('" ') not in ("", "None"):
            assert name in mapped or name in told, name
    assert "redescending" in told


def test_the_finder_has_a_file_of_its_own(tmp_path: Path) -> None:
    files = [written(tmp_path, TWEAKREG), written(tmp_path, FINDER, "find.cfg")]
    parameters, notes = choose_tweak(files, None, ["match.minobj=12"])
    assert (parameters.find.conv_width, parameters.find.dqbits, parameters.find.fluxmin) == (
        3.5,
        "64,32",
        100.0,
    )
    assert parameters.find.threshold == TweakParameters().find.threshold
    assert parameters.match.minobj == 12
    assert any("threshold" in note for note in notes)
    assert any("sharplo" in note for note in notes)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("_task_name_ = astrodrizzle\n", "parameters of astrodrizzle"),
        ("colour = red\n", "no parameter of TweakReg"),
        ("_task_name_ = tweakreg\nsearchrad = far\n", "searchrad"),
        ("_task_name_ = tweakreg\nfitgeometry = affine\n", "fitgeometry"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(UsageProblemError, match=words):
        import_tweakreg(written(tmp_path, text))


def test_unknown_names_are_told(tmp_path: Path) -> None:
    done = import_tweakreg(written(tmp_path, "searchrad = 2.0\nfuture = 3\n"))
    assert done.notes == ("unknown to TweakReg and not used: future",)


def test_parameters_become_the_numbers_of_the_rule(tmp_path: Path) -> None:
    parameters = changed(TweakParameters(), import_tweakreg(written(tmp_path, TWEAKREG)).changes)
    rule = acceptance_rule(parameters, 0.05)
    assert rule.search_radius_arcsec == rule.relative_radius_arcsec == pytest.approx(1.0)
    assert rule.search_tolerance_arcsec == pytest.approx(0.075)
    assert (rule.least_stars, rule.most_stars) == (10, 500)
    assert rule.least_confirmed_stars == 10
    direct, _ = choose_tweak([], None, ["match.use2dhist=false", "match.tolerance=2"])
    assert acceptance_rule(direct, 0.05).search_radius_arcsec == pytest.approx(0.1)
    assert len(TWEAK.all) >= 60


def test_a_geometry_is_a_choice_of_priors() -> None:
    priors = {name: free_prior(3, name, 5.0) for name in ("shift", "rshift", "rscale", "general")}
    assert {prior.guide_star_set for prior in priors.values()} == {3}
    assert all(prior.relative_pointing is None and prior.firm for prior in priors.values())
    assert priors["shift"].roll_deg < 1e-6 < priors["rshift"].roll_deg
    assert priors["rshift"].scale < 1e-8 < priors["rscale"].scale
    assert priors["rscale"].skew == 0.0 < priors["general"].skew


def test_what_is_held_is_not_released_by_what_the_stars_say() -> None:
    corrections = np.array([[0.0, 0.0, 1e-3, 1e-4, 0.0, 0.0]])
    firm = restraint([free_prior(0, "shift", 5.0)], corrections).precision
    assert np.array_equal(firm, restraint([free_prior(0, "shift", 5.0)]).precision)
    soft = restraint([replace(free_prior(0, "shift", 5.0), firm=False)], corrections).precision
    assert soft[2, 2] < 1e-6 * firm[2, 2]
