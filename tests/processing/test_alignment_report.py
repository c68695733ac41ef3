"""The page and the pictures of an alignment: they say what the rows say, and need nothing else."""

import io
import shutil
from base64 import b64decode
from collections.abc import Iterator
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from hapctl.archive.alignment_reports import Subject, subject_of_group, subject_of_visit
from hapctl.archive.database import Catalog, open_catalog
from hapctl.archive.errors import NotInCatalogError
from hapctl.archive.server import EmbeddedServer
from hapctl.processing.astrometry.alignment_plots import cell_medians
from hapctl.processing.errors import RefusedError, UsageProblemError
from hapctl.processing.pipeline import alignment_report
from hapctl.processing.pipeline.alignment_report import report_name, write_plots, write_report
from hapctl.processing.pipeline.alignment_report_data import AlignmentReport, gathered
from hapctl.processing.pipeline.alignment_report_page import Picture, page
from hapctl.processing.pipeline.alignment_report_plots import plots, residuals_from_rows
from hapctl.processing.pipeline.alignment_report_words import asked, movement, named, steps, verdict
from PIL import Image
from support.commands import run_here
from support.servers import cloned_database
from support.sky_visit import SkyVisit, sky_visit

TIED, LOOSE = "jtest1", "jtest2"
"""A visit on 70 catalog stars, and one with two of them: refused there, aligned to each other only."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("reports")


@pytest.fixture(scope="module")
def archive(folder: Path, database_server: EmbeddedServer) -> Iterator[Catalog]:
    """A catalog with both visits aligned, and the second one's files gone."""
    tied = sky_visit(folder / TIED, visit=TIED)
    loose = sky_visit(folder / LOOSE, visit=LOOSE, gaia=2, seed=7, centre=(10.0, 40.0))
    with cloned_database(database_server) as url, pytest.MonkeyPatch.context() as patch:
        patch.setenv("HAPCTL_DATABASE_URL", url)
        patch.setenv("HAPCTL_HOME", str(folder / "home"))
        for visit in (tied, loose):
            _aligned(visit)
        shutil.rmtree(folder / LOOSE)
        catalog = open_catalog(url)
        yield catalog
        catalog.close()


def _aligned(visit: SkyVisit) -> None:
    for command in (
        ("ingest", *visit.files),
        ("gaia", "load", visit.extract, "--release", "DR3", "--covers", visit.covers),
        ("align", "--visit", visit.visit, "--offline", "--catalog", "GAIADR3"),
        ("align", "--visit", visit.visit, "--offline", "--catalog", "none"),
    )[: 3 if visit.visit == TIED else 4]:
        done = run_here(command)
        assert done.exit_code in (0, 1), done.stderr


def subject(archive: Catalog, visit: str) -> Subject:
    with archive.begin() as connection:
        return subject_of_visit(connection, visit)


def refused(archive: Catalog) -> Subject:
    """The run before the newest of the second visit: no catalog would have it."""
    newest = subject(archive, LOOSE)
    return replace(newest, run_id=newest.run_id - 1)


@pytest.fixture(scope="module")
def written(archive: Catalog, folder: Path) -> Path:
    """The page of the first visit."""
    mine = subject(archive, TIED)
    return write_report(archive, mine, folder / "new" / report_name(mine))


@pytest.fixture(scope="module")
def written_loose(archive: Catalog, folder: Path) -> Path:
    """The page of the second visit, all of whose pictures would not fit."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(alignment_report, "LARGEST_PAGE", 60_000)
        return write_report(archive, subject(archive, LOOSE), folder / "loose.html")


class Document(HTMLParser):
    """Checks that elements are closed in order, and keeps text and sources."""

    VOID = ("meta", "br", "img")

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.words: list[str] = []
        self.sources: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.sources += [value or "" for name, value in attrs if name in ("src", "href", "srcset", "data")]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


def test_a_page_needs_nothing_else_and_tells_what_the_rows_tell(
    report: AlignmentReport, written: Path
) -> None:
    path = written
    assert path.name == "jtest1_alignment.html"
    assert path.stat().st_size < 3_000_000
    assert list(path.parent.iterdir()) == [path]
    document = Document(path.read_text(encoding="utf-8"))
    assert not document.tags & {"script", "link", "iframe", "object", "a"}
    assert document.sources
    assert all(source.startswith("data:image/png;base64,") for source in document.sources)
    for source in document.sources:
        picture = Image.open(io.BytesIO(b64decode(source.partition(",")[2])))
        picture.verify()
    assert verdict(report).startswith("Accepted: both exposures are tied to GAIADR3 by ")
    for words in (
        verdict(report),
        asked(report),
        "hapctl wcs why jtest1a0q",
        "GAIA-CRF3",
        "Histogram of offsets",
    ):
        assert words in document.text
    for member in report.members:
        assert f"{member.predicted_error_mas:.2f}" in document.text
    assert "Refused" not in document.text
    assert "There is no picture of stars before and after" not in document.text


def test_a_refusal_stands_first_with_its_numbers(archive: Catalog) -> None:
    report = gathered(archive, refused(archive))
    text = Document(page(report, [])).text
    reasons = {attempt.reason for attempt in report.refused}
    assert reasons
    for attempt in report.refused:
        assert attempt.reason in text
        assert attempt.code in text
        assert f"detected {attempt.n_detected}" in text or f", {attempt.n_detected}" in text
    assert text.index("Refused") < text.index("Every attempt")
    if not report.accepted:
        assert "stay in force" in text


def test_a_relative_alignment_says_that_nothing_ties_it_and_that_the_files_are_gone(
    written_loose: Path,
) -> None:
    text = Document(written_loose.read_text(encoding="utf-8")).text
    assert "To each other only both exposures are aligned" in text
    assert "There is no picture of stars before and after: " in text
    assert "its file is not there" in text
    assert "Other runs on these exposures" in text


def test_a_group_a_run_and_a_visit_tell_of_the_same(archive: Catalog) -> None:
    mine = subject(archive, TIED)
    report = gathered(archive, mine)
    [group] = report.groups
    with archive.begin() as connection:
        by_group = gathered(archive, subject_of_group(connection, group.alignment_group_id))
    by_run = gathered(archive, Subject("run", mine.run_id))
    assert by_group.attempts == by_run.attempts == report.attempts
    assert set(report.final) == {"jtest1a0q", "jtest1a1q"}


def test_a_repeated_alignment_shows_the_stars_of_the_first(archive: Catalog, folder: Path) -> None:
    first = gathered(archive, subject(archive, TIED))
    assert run_here(("align", "--visit", TIED, "--offline", "--catalog", "GAIADR3")).exit_code == 0
    again = gathered(archive, subject(archive, TIED))
    assert again.run.run_id > first.run.run_id
    assert {attempt.outcome for attempt in again.attempts} == {"unchanged"}
    assert len(again.stars) == len(first.stars) > 50
    assert [one.answer for one in again.answers] == [one.answer for one in first.answers]
    assert verdict(again) == verdict(first)


def test_plots_as_single_files(
    archive: Catalog, report: AlignmentReport, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    everything = list(plots(report, most_exposures=None))
    names = {plot.name for plot in everything}
    assert len(names) == len(everything)
    assert {"vectors_catalog", "place_catalog", "star_catalog", "transfer_wfc_1"} <= names
    assert {"vectors_jtest1a0q", "change_jtest1a1q", "offsets_jtest1a1q"} <= names
    monkeypatch.setattr(alignment_report, "plots", lambda *_, **__: everything[:2])
    paths = write_plots(archive, report.subject, tmp_path / "figures", "pdf")
    assert [path.name for path in paths] == [
        "jtest1_vectors_catalog.pdf",
        "jtest1_place_catalog.pdf",
        "jtest1_blink.png",
    ]
    starts = {".pdf": b"%PDF", ".png": b"\x89PNG"}
    assert all(path.read_bytes().startswith(starts[path.suffix]) for path in paths)
    with pytest.raises(UsageProblemError, match="bmp"):
        write_plots(archive, report.subject, tmp_path, "bmp")


def test_what_is_no_report_is_not_replaced(
    archive: Catalog, written_loose: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = subject(archive, LOOSE)
    other = tmp_path / "thesis.html"
    other.write_text("<p>four years</p>")
    with pytest.raises(RefusedError, match="is no report"):
        write_report(archive, mine, other)
    assert other.read_text() == "<p>four years</p>"
    first = written_loose.read_bytes()
    monkeypatch.setattr(alignment_report, "LARGEST_PAGE", 60_000)
    assert write_report(archive, mine, written_loose).read_bytes() == first


def test_pictures_beyond_the_size_of_a_page_are_left_out_and_it_says_so(written_loose: Path) -> None:
    assert written_loose.stat().st_size < 90_000
    document = Document(written_loose.read_text(encoding="utf-8"))
    assert 1 <= len(document.sources) < 5
    assert "More pictures would make the page too large" in document.text


def test_names_that_are_not_there(archive: Catalog) -> None:
    with archive.begin() as connection:
        with pytest.raises(NotInCatalogError, match="no alignment of visit zzzzzz"):
            subject_of_visit(connection, "zzzzzz")
        with pytest.raises(NotInCatalogError, match="no alignment group 999999"):
            subject_of_group(connection, 999999)
    with pytest.raises(NotInCatalogError, match="no run 999999"):
        gathered(archive, Subject("run", 999999))


@pytest.fixture
def report(archive: Catalog) -> AlignmentReport:
    return gathered(archive, subject(archive, TIED))


def test_everything_is_escaped(report: AlignmentReport) -> None:
    evil = '<script>alert("1")</script>&'
    attempts = [
        replace(
            attempt, reason=evil, code=evil, catalog=evil, rootname=evil, from_wcsname=evil, outcome="refused"
        )
        for attempt in report.attempts
    ]
    answers = [replace(one, answer=replace(one.answer, service=evil)) for one in report.answers]
    run = replace(report.run, operator=evil, arguments=[evil], parameters={"visit": evil})
    spoilt = replace(report, run=run, attempts=attempts, answers=answers, subject=Subject(evil, 1))
    text = page(spoilt, [Picture(evil, evil, evil, b"x")], [evil])
    assert "<script" not in text
    assert "&lt;script&gt;" in text
    Document(text)


def test_movements_are_counted_in_sigmas_of_what_was_known(report: AlignmentReport) -> None:
    prior = {"pointing": 0.4, "relative_pointing": 0.3, "roll_deg": 0.003, "scale": 1e-4, "covariance": None}
    first, second = (
        replace(
            member, prior=prior, guide_star_set=0, correction=[xi, 0.0, np.radians(-0.006), 2e-4, 0.0, 0.0]
        )
        for member, xi in zip(report.members, (1.0, 0.4), strict=True)
    )
    moved = movement(first, [first, second])
    assert moved.shift_sigma == pytest.approx(2.0)  # 1 arcsec of hypot(0.4, 0.3)
    assert moved.roll_sigma == pytest.approx(2.0)
    assert moved.scale_sigma == pytest.approx(2.0)
    assert moved.scale_ppm == pytest.approx(200.0)
    assert moved.skew_ppm == 0.0
    skewed = replace(first, correction=[0.0, 0.0, 0.0, 0.0, -3e-5, 1e-5])
    assert movement(skewed, [skewed]).skew_ppm == pytest.approx(30.0)
    assert moved.from_set_mas == pytest.approx(300.0)  # 0.3 arcsec from the mean of the two
    assert moved.from_set_sigma == pytest.approx(np.sqrt(2.0))
    alone = movement(first, [first])
    assert np.isnan(alone.from_set_mas)
    fitted = replace(first, prior={"covariance": np.diag([0.25, 0.25, 1e-8, 1e-8]).ravel().tolist()})
    assert movement(fitted, [fitted]).shift_sigma == pytest.approx(2.0)
    assert movement(fitted, [fitted]).scale_sigma == pytest.approx(2.0)
    held = replace(first, prior={**prior, "roll_deg": 0.0})
    assert np.isnan(movement(held, [held]).roll_sigma)


def test_attempts_that_ended_alike_are_one_step(report: AlignmentReport) -> None:
    one, other = report.attempts[:2]
    alike = steps([one, replace(other, reason=one.reason), replace(one, ladder_step=9)])
    assert [step.rootnames for step in alike] == [[one.rootname, other.rootname], [one.rootname]]


def test_verdicts(report: AlignmentReport) -> None:
    first, second = report.attempts
    none = replace(second, outcome="refused", reason="too few", solution_id=None)
    assert "1 of 2 exposures is tied" in verdict(replace(report, attempts=[first, none]))
    assert "refused: jtest1a1q" in verdict(replace(report, attempts=[first, none]))
    lost = [replace(one, outcome="refused", reason="too few", solution_id=None) for one in (first, second)]
    assert verdict(replace(report, attempts=lost)) == (
        "Refused: the solutions in force before stay in force; too few."
    )
    mixed = verdict(replace(report, attempts=[first, replace(second, catalog=None)]))
    assert mixed.startswith("Accepted in part: tied to GAIADR3")
    other = verdict(replace(report, attempts=[first, replace(second, active_solution_id=-1)]))
    assert "another solution is in force now for jtest1a1q" in other


def test_names_in_a_sentence() -> None:
    assert named(["a"]) == "a"
    assert named(["a", "b", "c"]) == "a, b and c"
    assert named([str(n) for n in range(9)]) == "0, 1, 2, 3, 4, 5 and 3 more"


def test_residuals_against_the_catalog_know_its_colours_and_errors(report: AlignmentReport) -> None:
    [used] = report.answers
    colours = np.arange(len(used.stars), dtype=float)
    coloured = replace(report, answers=[replace(used, stars=replace(used.stars, bp_rp=colours))])
    attempt = report.accepted[0]
    stars = residuals_from_rows(coloured, 0, attempt, coloured.reference(), against_catalog=True)
    rows = report.stars_of(attempt)
    rows = rows[np.isfinite(rows.catalog_ra)]
    known = dict(zip(used.stars.source_id.tolist(), colours.tolist(), strict=True))
    assert stars.colours.tolist() == [known[name] for name in rows.source_id.tolist()]
    assert (stars.errors > rows.error_mas).all()
    assert np.allclose(np.hypot(stars.along_x, stars.along_y), np.hypot(stars.east, stars.north), rtol=0.05)
    assert stars.epochs[0] == pytest.approx(2000.0 + (55000.001 - 51544.5) / 365.25, abs=1e-4)
    loose = residuals_from_rows(report, 0, attempt, None, against_catalog=False)
    assert np.isnan(loose.colours).all()
    assert np.array_equal(loose.errors, report.stars_of(attempt).error_mas)


def test_many_arrows_become_medians_in_cells() -> None:
    random = np.random.default_rng(3)
    points = random.uniform(0, 160, (4000, 2))
    vectors = np.column_stack([points[:, 0] - 80, np.full(4000, 3.0)])
    places, medians, used = cell_medians(points, vectors)
    assert len(places) == len(medians) == len(used) == 256
    assert used.all()
    assert np.abs(medians[:, 0] - (places[:, 0] - 80)).max() < 1e-9  # the median of x goes with that of x
    assert (medians[:, 1] == 3.0).all()
    alone = cell_medians(points[:1], vectors[:1])
    assert len(alone[0]) == 0
