"""Ingest of files that are damaged, odd or not what they seem: each gets its reason, the others go in."""

import gzip
import os
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hapctl.archive.database import Catalog
from hapctl.archive.runs import recorded_run
from hapctl.processing.astrometry.exposure import exposure_facts
from hapctl.processing.astrometry.file_kinds import rejected_kind
from hapctl.processing.astrometry.fits_structure import read_fits, read_fits_bytes
from hapctl.processing.astrometry.headerlet import headerlet_bytes
from hapctl.processing.astrometry.reading import solutions_in
from hapctl.processing.errors import UnusableFileError
from hapctl.processing.pipeline import ingest_files
from hapctl.processing.pipeline.ingest_files import ingest_groups
from hapctl.processing.pipeline.ingest_inputs import expand_inputs, requests_for
from hapctl.processing.pipeline.solution_store import NewSolution, solution_rows
from sqlalchemy import text
from support.commands import Runner
from support.exposure_files import exposure_file, two_chip_solution

ROOTNAME = "jdmg01aaq"
GARBAGE = b"\x1f\x8b" + b"garbage" * 100


def _content(rootname: str = ROOTNAME, headerlets: tuple[bytes, ...] = ()) -> bytes:
    return exposure_file(two_chip_solution(rootname, binning=64), headerlets=headerlets)


def _headerlet() -> bytes:
    return headerlet_bytes(two_chip_solution(ROOTNAME, binning=64))


def _card(keyword: str, value: str) -> bytes:
    return f"{keyword:8}= {value:>20}".ljust(80).encode()


def _changed(content: bytes, keyword: str, value: str, count: int = 1) -> bytes:
    """The content with other values on the first ``count`` cards of a keyword."""
    start = 0
    for _ in range(count):
        start = content.index(keyword.ljust(8).encode() + b"= ", start)
        content = content[:start] + _card(keyword, value) + content[start + 80 :]
        start += 80
    return content


def _table_of_another_type() -> bytes:
    content = _content()
    first = content.index(b"'WCSDVARR'")
    header = content.rindex(b"XTENSION", 0, first)
    return content[:header] + _changed(content[header:], "BITPIX", "64")


DAMAGED = {
    "naxis1_nan": (_changed(_content(), "NAXIS1", "NaN"), "NAXIS1 is nan"),
    "naxis1_backwards": (_changed(_content(), "NAXIS1", "-64"), "NAXIS1 is -64"),
    "naxis1_huge": (_changed(_content(), "NAXIS1", "1000000000"), "truncated"),
    "naxis1_endless": (_changed(_content(), "NAXIS1", "9" * 18), "NAXIS1 is 1e+18"),
    "axes": (_changed(_content(), "NAXIS", "999999999", 2), "NAXIS is 1e+09"),
    "version": (_changed(_content(), "EXTVER", "1E30"), "EXTVER is 1e+30"),
    "twice": (_changed(_content(), "EXTVER", "2"), "two extensions SCI,2"),
    "proposal": (_changed(_content(), "PROPOSID", "Inf"), "PROPOSID is inf"),
    "cd_wild": (_changed(_content(), "CD1_1", "1.0"), "of no HST detector"),
    "cd_flat": (_changed(_changed(_content(), "CD1_1", "0.0"), "CD1_2", "0.0"), "singular"),
    "sip_order": (_changed(_content(), "A_ORDER", "50"), "a SIP polynomial of order 50"),
    "sip_nan": (_changed(_content(), "A_2_0", "NaN"), "missing or not finite"),
    "table_type": (_table_of_another_type(), "lookup table WCSDVARR,1 is damaged"),
    "table_step": (_changed(_content(), "CDELT1", "0.0"), "its CDELT is 0"),
    "table_nan": (_content()[:-2880] + b"\x7f\xc0\x00\x00" * 720, "its numbers are not finite"),
    "ends_before_it_starts": (_changed(_content(), "EXPEND", "54000.0"), "is before EXPSTART"),
    "no_end": (b"SIMPLE  =                    T".ljust(17_000_000), "a header without END"),
    "gzip_cut": (gzip.compress(_content())[:5000], "truncated or damaged gzip"),
    "cut_in_gzip": (gzip.compress(_content()[:20000]), "truncated"),
}


def test_each_damage_has_its_reason_and_the_others_go_in(run_hapctl: Runner, tmp_path: Path) -> None:
    folder = tmp_path / "archive"
    folder.mkdir()
    for name, (content, _) in DAMAGED.items():
        (folder / f"{name}.fits").write_bytes(content)
    (folder / "whole.fits").write_bytes(_content("jdmg01abq"))
    result = run_hapctl("ingest", folder, "--json")
    assert result.exit_code == 0, result.stderr
    files = {Path(file["path"]).stem: file for file in result.json()["files"]}
    assert files.pop("whole")["status"] == "new"
    assert files.keys() == DAMAGED.keys()
    wrong = {name: file for name, file in files.items() if DAMAGED[name][1] not in (file["reason"] or "")}
    assert not wrong
    assert {file["status"] for file in files.values()} == {"rejected"}


def test_a_file_cut_between_its_extensions_is_truncated(run_hapctl: Runner, tmp_path: Path) -> None:
    whole = exposure_file(two_chip_solution(ROOTNAME, binning=64), primary={"NEXTEND": 8})
    path = tmp_path / "cut.fits"
    path.write_bytes(whole)
    assert len(read_fits(path)) == 9
    starts = [at for at in range(0, len(whole), 2880) if whole[at : at + 8] == b"XTENSION"]
    for start in (starts[1], starts[4], starts[-1]):
        for more in (0, 5):
            path.write_bytes(whole[: start + more])
            report = run_hapctl("ingest", path, "--json").json()["files"][0]
            assert (report["status"], "truncated" in report["reason"]) == ("rejected", True)
    path.write_bytes(whole)
    assert run_hapctl("ingest", path, "--json").json()["counts"]["new"] == 1


BAD_HEADERLETS = {
    "bytes": (b"no headerlet" * 300, "not a FITS file"),
    "gzip": (GARBAGE, "truncated or damaged gzip"),
    "gzip_cut": (gzip.compress(_headerlet())[:400], "truncated or damaged gzip"),
    "cut": (_headerlet()[:30000], "truncated"),
    "order": (_changed(_headerlet(), "A_ORDER", "50"), "SIP polynomial of order 50"),
    "target": (_headerlet().replace(_card("TG_EVER", "2"), _card("TG_EVER", "1")), "two chips for SCI,1"),
    "foreign": (_headerlet().replace(_card("TG_EVER", "2"), _card("TG_EVER", "9")), "no WCS for SCI,2"),
    "no_target": (_changed(_headerlet(), "TG_EVER", "NaN"), "TG_EVER is nan"),
    "nan": (_changed(_headerlet(), "CRVAL1", "NaN"), "missing or not finite"),
    "step": (_changed(_headerlet(), "CDELT1", "0.0"), "its CDELT is 0"),
}


def test_a_bad_headerlet_is_kept_with_its_problem(
    run_hapctl: Runner, tmp_path: Path, catalog: Catalog
) -> None:
    for number, (content, _) in enumerate(BAD_HEADERLETS.values()):
        rootname = f"jdmh{number:02d}aaq"
        (tmp_path / f"{rootname}.fits").write_bytes(_content(rootname, (content,)))
    result = run_hapctl("ingest", tmp_path / "*.fits", "--json")
    assert result.json()["counts"]["new"] == len(BAD_HEADERLETS), result.stdout
    question = """
        SELECT problem FROM wcs_solution JOIN exposure USING (exposure_id)
        WHERE headerlet IS NOT NULL ORDER BY rootname"""
    with catalog.begin() as connection:
        problems = list(connection.execute(text(question)).scalars())
    assert len(problems) == len(BAD_HEADERLETS)
    for problem, (_, expected) in zip(problems, BAD_HEADERLETS.values(), strict=True):
        assert expected in problem


@pytest.mark.parametrize(
    ("keyword", "value", "count", "problem"),
    [
        ("CTYPE1", "'LAMBDA'", 2, "has projection LAMBDA"),
        ("CTYPE1", "'GLON-TAN'", 1, "has projection GLON-TAN"),
        ("CRPIX1", "1E300", 1, "no usable transformation"),
        ("A_2_0", "1E300", 1, "no usable transformation"),
        ("A_2_0", "1E3", 1, "no usable transformation"),
    ],
)
def test_a_wild_solution_is_registered_and_not_put_in_force(
    keyword: str, value: str, count: int, problem: str, run_hapctl: Runner, tmp_path: Path
) -> None:
    path = tmp_path / "wild.fits"
    path.write_bytes(_changed(_content(), keyword, value, count))
    result = run_hapctl("ingest", path, "--json")
    report = result.json()["files"][0]
    assert (report["status"], problem in (report["reason"] or "")) == ("new", True)
    assert "Warning" not in result.stderr


def test_what_is_no_file_has_a_reason(run_hapctl: Runner, tmp_path: Path) -> None:
    folder = tmp_path / "archive"
    folder.mkdir()
    (folder / "späce # näme 文.fits").write_bytes(_content())
    os.mkfifo(folder / "pipe.fits")
    (folder / "dangling.fits").symlink_to(folder / "nowhere")
    (folder / "loop").symlink_to(folder)
    Path(os.fsdecode(os.fsencode(folder) + b"/n\xff.fits")).write_bytes(_content())
    result = run_hapctl("ingest", folder, "--recursive", "--json")
    reasons = {Path(file["path"]).name: file["reason"] for file in result.json()["files"]}
    assert reasons == {
        "späce # näme 文.fits": None,
        "pipe.fits": "not a regular file",
        "dangling.fits": "No such file or directory",
        r"n\xff.fits": "its name is not UTF-8",
    }
    shown = run_hapctl("ingest", folder, "--recursive").stdout
    assert all(name in shown for name in reasons)


def test_lists_name_what_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("a#1.fits", "b.fits", "c.fits"):
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "outer").write_text("# all\n@inner  # more\n  gone.fits\n~/c.fits\n")
    (tmp_path / "inner").write_text("a#1.fits\n\nb.fits # a comment\n")
    found, problems = expand_inputs(["@outer", "~/[bz].fits"])
    assert [Path(path).name for path in found] == ["a#1.fits", "b.fits", "c.fits"]
    assert problems == {"gone.fits": "no such file or folder"}


def test_patterns_reach_any_depth_and_follow_no_loops(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "x" / "y").mkdir(parents=True)
    for name in ("top.fits", "x/one.fits", "x/y/two.fits", "x/y/other.txt"):
        (tmp_path / name).write_bytes(b"x")
    for number in range(3):
        (tmp_path / "x" / f"loop{number}").symlink_to(tmp_path)

    def names(pattern: str) -> list[str]:
        return [str(Path(path).relative_to(tmp_path)) for path in expand_inputs([pattern])[0]]

    assert names("**/*.fits") == ["top.fits", "x/one.fits", "x/y/two.fits"]
    assert names(f"{tmp_path}/**/y/**/*.fits") == ["x/y/two.fits"]
    assert names("x/**") == ["x/one.fits", "x/y/other.txt", "x/y/two.fits"]
    assert names("[xz]/**/o*") == ["x/one.fits", "x/y/other.txt"]


def test_a_folder_that_cannot_be_opened_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    closed = tmp_path / "closed"
    closed.mkdir()
    (tmp_path / "open.fits").write_bytes(b"x")
    scandir = os.scandir

    def guarded(path: str) -> Any:
        if str(path) == str(closed):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", guarded)
    found, problems = expand_inputs([str(tmp_path)], recursive=True)
    assert [Path(path).name for path in found] == ["open.fits"]
    assert problems == {str(closed): "Permission denied"}


def test_a_list_that_names_itself_is_a_usage_error(run_hapctl: Runner, tmp_path: Path) -> None:
    (tmp_path / "list").write_text(f"@{tmp_path}/list\n")
    result = run_hapctl("ingest", f"@{tmp_path}/list")
    assert (result.exit_code, "names itself" in result.stderr) == (2, True)


def test_a_file_written_while_it_is_read_is_not_taken(
    catalog: Catalog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "moving.fits"
    path.write_bytes(_content())

    def hash_late(place: Path) -> str:
        other = replace(two_chip_solution(ROOTNAME, binning=64), name="IDC_other")
        place.write_bytes(exposure_file(other, fill=2.0) + b"\0" * 2880)
        return "0" * 64

    monkeypatch.setattr(ingest_files, "_sha256", hash_late)
    with recorded_run(catalog, "ingest", {}) as run:
        with catalog.begin() as connection:
            requests = requests_for(connection, run.id, [], [str(path)])
        [result] = ingest_groups(catalog, run.id, [requests])
    assert (result.status, result.reason) == ("rejected", "it was changed while it was read")
    with catalog.begin() as connection:
        assert connection.scalar(text("SELECT count(*) FROM exposure")) == 0


WRONG_VALUES = ("NaN", "-Inf", "1E400", "-1", "0", "1E300", "''", "'x'", "T", "", "9" * 20, "(1,2)", "1E-320")


@pytest.mark.filterwarnings("error")
def test_no_card_gives_anything_but_a_reason() -> None:
    whole = _content(headerlets=(_headerlet(),))
    cards = [at for at in range(0, len(whole), 80) if whole[at + 8 : at + 10] == b"= "]
    random = Random(7)
    reasons = 0
    for _ in range(150):
        damaged = bytearray(whole)
        at = random.choice(cards)
        damaged[at + 10 : at + 80] = random.choice(WRONG_VALUES).rjust(20).ljust(70).encode()
        try:
            _solution_rows(bytes(damaged))
        except UnusableFileError as error:
            reasons += bool(error.message)
    assert 10 < reasons < 140


def _solution_rows(content: bytes) -> None:
    extensions = read_fits_bytes(content, "damaged")
    if not rejected_kind(extensions, "damaged"):
        facts = exposure_facts(extensions, "damaged")
        found = solutions_in(extensions, "damaged")
        solution_rows(facts.rootname, [NewSolution(one.solution, one.headerlet_bytes) for one in found])
