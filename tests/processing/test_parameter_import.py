"""AstroDrizzle's configurations and MDRIZTAB tables: every name is mapped or told."""

from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from hapctl.processing.errors import UnusableFileError, UsageProblemError
from hapctl.processing.imaging.parameter_import import import_cfg, import_mdriztab
from hapctl.processing.imaging.parameters import DrizzleParameters
from hapctl.processing.parameter_cfg import Imported, cfg_entries
from hapctl.processing.parameter_file import changed

# As TEAL writes it: comments right behind values, quotes where a value or a heading holds a comma.
CFG = """\
_task_name_ = astrodrizzle#
input = *flt.fits# what to read
output = ""# where to write
build = True# one file
crbit = 4096# a flag
resetbits = 4096# flags
context = False# wanted?
num_cores = None# cores
wcskey = ""# which

[STATE OF INPUT FILES]
preserve = False# copies

[STEP 1: STATIC MASK]
static = False# wanted?
static_sig = 5.0# "sigma, below the mode"

[STEP 2: SKY SUBTRACTION]
skymethod = globalmin+match# how
skywidth = 0.2# bins
skylower = -100.0# electrons
skyupper = INDEF# electrons
skyuser = MDRIZSKY# keyword

[STEP 3: DRIZZLE SEPARATE IMAGES]
driz_sep_bits = 528# flags
[STEP 3a: CUSTOM WCS FOR SEPARATE OUTPUTS]
driz_sep_wcs = False# wanted?
driz_sep_scale = 0.1# arcsec

[STEP 4: CREATE MEDIAN IMAGE]
combine_type = median# how
combine_nsigma = 5 4# sigma

["STEP 6: REMOVE COSMIC RAYS WITH DERIV, DRIZ_CR"]
driz_cr_snr = 5.0 4.0# sigma
driz_cr_grow = 3# side
driz_cr_scale = 3.0 2.4# factors

[STEP 7: DRIZZLE FINAL COMBINED IMAGE]
final_wht_type = IVM# kind
final_pixfrac = 0.8# drop
final_fillval = None# value
final_bits = "64,32"# "flags, good"
[STEP 7a: CUSTOM WCS FOR FINAL OUTPUT]
final_wcs = True# wanted?
final_rot = -33.5# degrees
final_scale = 0.03# arcsec
final_outnx = 4000# pixels
final_outny = 3000# pixels
final_ra = 5.65# degrees
final_dec = -72.07# degrees

[INSTRUMENT PARAMETERS]
gain = ""#

[_RULES_]
final_kernel = "code"
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "astrodrizzle.cfg"
    path.write_text(text)
    return path


def result(found: Imported) -> DrizzleParameters:
    return changed(DrizzleParameters(), found.changes)


def test_a_configuration_is_imported(tmp_path: Path) -> None:
    parameters = result(import_cfg(write(tmp_path, CFG)))
    assert (parameters.static_mask.enabled, parameters.static_mask.sigma) == (False, 5.0)
    sky = parameters.sky
    assert (sky.method, sky.width, sky.lower, sky.upper) == ("globalmin+match", 0.2, -100.0, None)
    assert sky.user_keyword == ""
    assert (parameters.separate.bits, parameters.separate.scale) == (528, None)
    assert (parameters.median.type, parameters.median.sigma) == ("median", (5.0, 4.0))
    rays = parameters.cosmic_rays
    assert (rays.snr, rays.scale, rays.grow) == ((5.0, 4.0), (3.0, 2.4), 1)
    final = parameters.final
    assert (final.weight, final.pixfrac, final.bits, final.context) == ("IVM", 0.8, "64,32", False)
    assert (final.rotation, final.scale, final.shape) == (-33.5, 0.03, (4000, 3000))
    assert (final.ra, final.dec, final.kernel, final.fill_value) == (5.65, -72.07, "square", None)


@pytest.mark.parametrize(("skysub", "keyword"), [("True", ""), ("no", "MDRIZSKY"), ("", "")])
def test_a_keyword_of_the_sky_is_for_a_sky_taken_off_before(
    tmp_path: Path, skysub: str, keyword: str
) -> None:
    found = import_cfg(write(tmp_path, f"final_bits = 0\nskysub = {skysub}\nskyuser = MDRIZSKY\n"))
    assert result(found).sky.user_keyword == keyword
    assert any("skyuser = MDRIZSKY is not used" in note for note in found.notes) == (keyword == "")


def test_every_name_is_mapped_or_told(tmp_path: Path) -> None:
    found = import_cfg(write(tmp_path, CFG + "[X]\nmystery = 3\n"))
    notes = "\n".join(found.notes)
    mapped = {change.origin.rpartition(", ")[2] for change in found.changes}
    given = {name for name, value in cfg_entries(CFG) if value is not None} - {"_task_name_"}
    told = {name for name in given if name in notes}
    switches = {"driz_sep_wcs", "final_wcs"}
    pairs = {"final_outnx", "final_outny"}
    assert given - mapped - told - switches - pairs == set()
    assert "driz_cr_grow = 3 is a square of that side: cosmic_rays.grow = 1" in notes
    assert "driz_sep_wcs is off: driz_sep_scale not used" in notes
    assert "no counterpart for preserve, crbit: input files are never changed" in notes
    assert "unknown to AstroDrizzle and not used: mystery" in notes


@pytest.mark.parametrize(("side", "radius"), [("0", 0), ("1", 0), ("2", 1), ("3", 1), ("5", 2), ("None", 0)])
def test_a_square_to_grow_by_becomes_a_radius(tmp_path: Path, side: str, radius: int) -> None:
    found = import_cfg(write(tmp_path, f"driz_cr = True\ndriz_cr_grow = {side}# x\n"))
    assert result(found).cosmic_rays.grow == radius


@pytest.mark.parametrize(("text", "flags"), [("4096", 4096), ('"4096,16"', 4112), ("None", 0), ("0", 0)])
def test_flags_to_reset_become_their_sum(tmp_path: Path, text: str, flags: int) -> None:
    found = import_cfg(write(tmp_path, f"resetbits = {text}# x\nstatic = True\n"))
    assert result(found).cosmic_rays.reset_bits == flags


def test_a_drop_of_size_zero_becomes_the_least(tmp_path: Path) -> None:
    found = import_cfg(write(tmp_path, "final_pixfrac = 0.0\n"))
    assert result(found).final.pixfrac == 0.01
    assert any("final_pixfrac = 0.0" in note for note in found.notes)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("_task_name_ = tweakreg#\nstatic = True\n", "holds the parameters of tweakreg"),
        ("nothing here\n", "no parameter of AstroDrizzle"),
        ("final_kernel = box#\n", "final.kernel = box"),
        ("final_pixfrac = wide#\n", "final_pixfrac = wide is no number"),
        ("final_wcs = True\nfinal_outnx = 100\nfinal_outny = None\n", "final_outnx without final_outny"),
        ("final_wcs = True\nfinal_crpix2 = 1\nfinal_scale = 1\n", "final_crpix2 without final_crpix1"),
    ],
)
def test_what_can_not_be_imported_is_named(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(UsageProblemError, match=words):
        import_cfg(write(tmp_path, text))
    with pytest.raises(UsageProblemError, match="No such file"):
        import_cfg(tmp_path / "none.cfg")


def mdriztab(folder: Path) -> Path:
    columns = [
        fits.Column("filter", "20A", array=["F814W", "ANY", "ANY", "ANY", "F606W,CLEAR2L"]),
        fits.Column("numimages", "1J", array=[1, 1, 4, 6, 2]),
        fits.Column("subsky", "1L", array=[True, False, True, True, True]),
        fits.Column("driz_sep_bits", "1J", array=[1, 2, 4, 8, 16]),
        fits.Column("driz_cr_snr", "10A", array=["3 2", "", "4 3", "5 4", "6 5"]),
        fits.Column("final_pixfrac", "1E", array=np.array([0.6, 0.7, 0.8, 0.9, np.nan], dtype=np.float32)),
        fits.Column("combine_nhigh", "1J", array=[1, -2147483647, 1, 1, 1]),
        fits.Column("final_scale", "1E", array=np.full(5, np.nan, dtype=np.float32)),
        fits.Column("final_wcs", "1L", array=[True] * 5),
        fits.Column("ra", "1E", array=np.full(5, np.nan, dtype=np.float32)),
        fits.Column("crbitval", "1J", array=[4096] * 5),
    ]
    path = folder / "x_mdz.fits"
    fits.BinTableHDU.from_columns(columns).writeto(path)
    return path


@pytest.mark.parametrize(
    ("filters", "images", "bits"),
    [
        (("F435W", "CLEAR2L"), 1, 2),
        (("F435W",), 3, 2),
        (("F435W",), 4, 4),
        (("F435W",), 50, 8),
        (("CLEAR1L", "F814W"), 9, 1),
        (("F606W", "CLEAR2L"), 3, 16),
        ((), 6, 8),
    ],
)
def test_the_row_is_that_of_filter_and_number(
    tmp_path: Path, filters: tuple[str, ...], images: int, bits: int
) -> None:
    assert result(import_mdriztab(mdriztab(tmp_path), filters, images)).separate.bits == bits


def test_the_cells_of_a_row_are_imported(tmp_path: Path) -> None:
    found = import_mdriztab(mdriztab(tmp_path), ("F435W",), 4)
    parameters = result(found)
    assert (parameters.final.pixfrac, parameters.cosmic_rays.snr, parameters.sky.enabled) == (
        0.8,
        (4, 3),
        True,
    )
    assert (parameters.median.nhigh, parameters.final.scale, parameters.final.ra) == (1, None, None)
    notes = "\n".join(found.notes)
    assert "row 3 of" in notes
    assert "no counterpart for crbit" in notes
    least = result(import_mdriztab(mdriztab(tmp_path / ".."), ("F435W",), 1))
    assert (least.cosmic_rays.snr, least.median.nhigh) == ((3.5, 3.0), 0)


def test_a_table_that_is_none_or_has_no_row_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageProblemError, match="no row for 1 images of F606W"):
        import_mdriztab(mdriztab(tmp_path), ("F606W",), 1)
    table = tmp_path / "other.fits"
    fits.BinTableHDU.from_columns([fits.Column("a", "1J", array=[1])]).writeto(table)
    with pytest.raises(UnusableFileError, match="no MDRIZTAB"):
        import_mdriztab(table, (), 1)
    for content in (b"no FITS", b""):
        table.write_bytes(content)
        with pytest.raises(UnusableFileError, match="no FITS table"):
            import_mdriztab(table, (), 1)
    fits.PrimaryHDU().writeto(table, overwrite=True)
    with pytest.raises(UnusableFileError, match="no FITS table"):
        import_mdriztab(table, (), 1)
