"""What the inputs of a drizzle may be, what is left out, and what is refused."""

from pathlib import Path

import pytest
from astropy.io import fits
from hapctl.processing.errors import (
    MissingFileError,
    NoViableDataError,
    UnusableFileError,
    UsageProblemError,
)
from hapctl.processing.imaging.input_files import InputFile, find_inputs, read_inputs
from support.data import data_file
from support.exposure_files import exposure_file, two_chip_solution


def write(folder: Path, name: str, **primary: object) -> Path:
    """A small ACS/WFC exposure; the rootname is the name up to its suffix."""
    rootname, _, suffix = name.removesuffix(".gz").removesuffix(".fits").rpartition("_")
    path = folder / name
    solution = two_chip_solution(rootname, binning=64, tables=False)
    path.write_bytes(exposure_file(solution, suffix=suffix, primary=primary))
    return path


def association(folder: Path, rows: list[tuple[str, str, bool]]) -> Path:
    columns = [
        fits.Column("MEMNAME", "14A", array=[row[0] for row in rows]),
        fits.Column("MEMTYPE", "14A", array=[row[1] for row in rows]),
        fits.Column("MEMPRSNT", "L", array=[row[2] for row in rows]),
    ]
    path = folder / "jaaa01010_asn.fits"
    fits.BinTableHDU.from_columns(columns).writeto(path)
    return path


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder, with three exposures."""
    monkeypatch.chdir(tmp_path)
    for name in ("jaaa01a0q_flc.fits", "jaaa01a1q_flt.fits", "jaaa01a2q_flc.fits"):
        write(tmp_path, name)
    return tmp_path


def names(found: tuple[InputFile, ...]) -> list[str]:
    return [one.path.name for one in found]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (["jaaa01a2q_flc.fits", "jaaa01a0q_flc.fits"], ["jaaa01a2q_flc.fits", "jaaa01a0q_flc.fits"]),
        (["*_flc.fits"], ["jaaa01a0q_flc.fits", "jaaa01a2q_flc.fits"]),
        (["jaaa01a1q_flt.fits, jaaa01a0q_flc.fits"], ["jaaa01a1q_flt.fits", "jaaa01a0q_flc.fits"]),
        (["*_flc.fits,*a1q*"], ["jaaa01a0q_flc.fits", "jaaa01a2q_flc.fits", "jaaa01a1q_flt.fits"]),
        (["@list"], ["jaaa01a0q_flc.fits", "jaaa01a1q_flt.fits"]),
    ],
)
def test_names_patterns_and_lists_are_found(folder: Path, given: list[str], expected: list[str]) -> None:
    (folder / "list").write_text("# the two\njaaa01a0q_flc.fits\n\n jaaa01a1q_flt.fits # another\n")
    assert names(find_inputs(given).files) == expected


def test_a_list_gives_weight_maps(folder: Path) -> None:
    (folder / "ivm.fits").touch()
    (folder / "list").write_text("jaaa01a0q_flc.fits ivm.fits\njaaa01a1q_flt.fits\n")
    found = find_inputs(["@list"]).files
    assert [one.weight_map for one in found] == [Path("ivm.fits"), None]


def test_members_of_an_association_lie_beside_it(folder: Path) -> None:
    rows = [
        ("JAAA01A0Q", "EXP-DTH", True),
        ("JAAA01A1Q", "EXP-DTH", True),
        ("JAAA01A9Q", "EXP-DTH", False),
        ("JAAA01010", "PROD-DTH", True),
    ]
    write(folder, "jaaa01a0q_flt.fits")
    found = find_inputs([str(association(folder, rows))])
    assert names(found.files) == ["jaaa01a0q_flc.fits", "jaaa01a1q_flt.fits"]
    assert [(one.name, one.reason) for one in found.left_out] == [
        ("jaaa01a9q", "not present, says jaaa01010_asn.fits")
    ]


@pytest.mark.parametrize(
    ("given", "kind", "words"),
    [
        ([], UsageProblemError, "no input files"),
        (["none.fits"], MissingFileError, "none.fits: no such file"),
        (["*_drz.fits"], MissingFileError, "_drz.fits: no such file"),
        (["@none"], MissingFileError, "list none can't be read"),
        (["@empty"], UsageProblemError, "empty names no files"),
        (["@wide"], UsageProblemError, "a b c"),
        (["@self"], UsageProblemError, "@self"),
        (["@missing"], MissingFileError, "weight map none.fits of the list missing"),
        (["@several"], UsageProblemError, "goes with several files"),
        (["@jaaa01a0q_flc.fits"], UsageProblemError, "names? no files|no list of files|has the line"),
        (["."], UsageProblemError, "is a folder"),
        (["*_flc.fits", "./jaaa01a0q_flc.fits"], UsageProblemError, "given twice"),
        (["broken_asn.fits"], UnusableFileError, "no association table"),
    ],
)
def test_what_stands_for_nothing_is_refused(
    folder: Path, given: list[str], kind: type[Exception], words: str
) -> None:
    (folder / "empty").write_text("\n# nothing\n")
    (folder / "wide").write_text("a b c\n")
    (folder / "self").write_text("@self\n")
    (folder / "missing").write_text("jaaa01a0q_flc.fits none.fits\n")
    (folder / "several").write_text("*_flc.fits empty\n")
    (folder / "broken_asn.fits").write_text("no FITS")
    with pytest.raises(kind, match=words):
        find_inputs(given)


def test_a_member_that_is_missing_is_named(folder: Path) -> None:
    table = association(folder, [("JAAA01A7Q", "EXP-DTH", True)])
    with pytest.raises(MissingFileError, match=r"jaaa01a7q is not beside it as jaaa01a7q_flc\.fits"):
        find_inputs([str(table)])


def test_what_can_not_be_drizzled_is_left_out_with_the_reason(folder: Path) -> None:
    write(folder, "jaaa01a3q_flc.fits", EXPTIME=0.0)
    write(folder, "jaaa01a4q_flc.fits", FILTER1="G800L")
    write(folder, "jaaa01a5q_flc.fits", OBSTYPE="SPECTROSCOPIC")
    write(folder, "jaaa01a6q_drz.fits", NDRIZIM=4)
    write(folder, "jaaa01a7q_flc.fits", MTFLAG="T", DRIZCORR="OMIT")
    exposures, left_out = read_inputs(find_inputs(["*.fits"]))
    assert [one.solution.rootname for one in exposures] == [
        "jaaa01a0q",
        "jaaa01a1q",
        "jaaa01a2q",
        "jaaa01a7q",
    ]
    assert {one.name[:9]: one.reason for one in left_out} == {
        "jaaa01a3q": "exposure time 0",
        "jaaa01a4q": "grism or prism g800l",
        "jaaa01a5q": "OBSTYPE SPECTROSCOPIC",
        "jaaa01a6q": "a drizzled product",
    }
    assert exposures[0].filters == ("F606W", "CLEAR2L")


def test_nothing_left_is_no_viable_data(folder: Path) -> None:
    write(folder, "jaaa01a3q_flc.fits", EXPTIME=0.0)
    with pytest.raises(NoViableDataError, match=r"jaaa01a3q_flc[.]fits: exposure time 0"):
        read_inputs(find_inputs(["jaaa01a3q_flc.fits"]))


def test_two_files_of_one_exposure_are_refused(folder: Path) -> None:
    write(folder, "jaaa01a0q_flt.fits")
    with pytest.raises(
        UsageProblemError, match=r"jaaa01a0q_flt[.]fits is given twice [(]also as jaaa01a0q_flc"
    ):
        read_inputs(find_inputs(["*a0q*.fits"]))


def test_a_damaged_file_is_an_error_not_left_out(folder: Path) -> None:
    whole = (folder / "jaaa01a0q_flc.fits").read_bytes()
    for content, words in (
        (whole[: len(whole) // 2], "truncated"),
        (b"", "empty file"),
        (b"no FITS" * 1000, "not a FITS file"),
    ):
        (folder / "jaaa01a9q_flc.fits").write_bytes(content)
        with pytest.raises(UnusableFileError, match=words):
            read_inputs(find_inputs(["*.fits"]))


def test_a_wcs_that_is_not_finite_is_refused(folder: Path) -> None:
    with fits.open(folder / "jaaa01a0q_flc.fits", mode="update") as hdus:
        del hdus["SCI", 2].header["CRVAL1"]
    with pytest.raises(UnusableFileError, match=r"jaaa01a0q_flc[.]fits"):
        read_inputs(find_inputs(["jaaa01a0q_flc.fits"]))


def test_real_grism_exposures_are_left_out() -> None:
    folder = data_file("wfc3ir_goodss")
    exposures, left_out = read_inputs(find_inputs([str(folder / "*flt.fits*")]))
    assert len(exposures) == 8
    assert sorted(one.reason for one in left_out) == ["grism or prism g102", "grism or prism g141"]
