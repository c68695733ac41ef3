"""One self-contained HTML page of an alignment, and its pictures as files, from the catalog alone.

Only the picture that blinks needs the exposures; where they are not at hand the page says so.
"""

import io
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from hapctl.archive.alignment_reports import Subject
from hapctl.archive.database import Catalog
from hapctl.processing.astrometry.figure_style import FORMATS, figure_bytes
from hapctl.processing.astrometry.solution import LookupOrigin
from hapctl.processing.errors import RefusedError, UsageProblemError
from hapctl.processing.pipeline.alignment_report_blink import blink
from hapctl.processing.pipeline.alignment_report_data import AlignmentReport, gathered
from hapctl.processing.pipeline.alignment_report_page import MARK, Picture, page
from hapctl.processing.pipeline.alignment_report_plots import MOST_EXPOSURES, Plot, plots
from hapctl.processing.whole_files import write_new

LARGEST_PAGE = 2_800_000
"""Bytes of the pictures of a page, as data URIs; those beyond are left out, and the page says so."""
_COLOURS = 64
_DPI = 100
_BLINK = ("Before and after", "Stars by the old and the new WCS")
_BLINK_CAPTION = (
    "The same stars by the WCS begun with and by the new one, in turn; the cross-hairs are where the joint "
    "solution has each star."
)


def report_name(subject: Subject) -> str:
    """Name of the page of a subject."""
    return f"{_stem(subject)}_alignment.html"


def _stem(subject: Subject) -> str:
    """The name of a subject with nothing in it that a file's name could not have; of long lists the run."""
    stem = "_".join(subject.name.split()).replace("/", "_")
    return stem if len(stem) <= 60 else f"run{subject.run_id}"


def write_report(
    catalog: Catalog,
    subject: Subject,
    path: Path,
    *,
    origin: LookupOrigin = "hst",
    on_progress: Callable[[str], None] = lambda _: None,
) -> Path:
    """Write the page of an alignment: aside, synced, then renamed; an older page is replaced.

    Parameters
    ----------
    catalog : Catalog
    subject : Subject
        Which attempts it is about.
    path : Path
    origin : {"hst", "fits"}
        Where lookup tables begin.
    on_progress : callable
        Told in words what is being done.

    Raises
    ------
    NotInCatalogError
        The run is not there, or aligned nothing.
    RefusedError
        `path` is a file that is no report, or can't be written.
    """
    _check_place(path)
    report = gathered(catalog, subject)
    on_progress(f"drawing the report of {subject.name}")
    moving = blink(catalog, report, origin)
    pictures, all_fit = _fitting(_pictures(report, moving, origin))
    notes = _notes(report)
    if isinstance(moving, str):
        notes.append(f"There is no picture of stars before and after: {moving}.")
    if not all_fit:
        notes.append("More pictures would make the page too large: see hapctl align report --plots.")
    return write_new(path, page(report, pictures, notes), overwrite=True)


def write_plots(
    catalog: Catalog,
    subject: Subject,
    folder: Path,
    kind: str = "png",
    *,
    origin: LookupOrigin = "hst",
    on_progress: Callable[[str], None] = lambda _: None,
) -> tuple[Path, ...]:
    """Write the pictures of an alignment as single files, of all exposures; older ones are replaced.

    Parameters
    ----------
    catalog, subject, origin, on_progress
        As for `write_report`.
    folder : Path
    kind : {"png", "pdf", "svg"}
        The picture that blinks is a PNG in any case.

    Raises
    ------
    NotInCatalogError
        The run is not there, or aligned nothing.
    UsageProblemError
        There is no such kind.
    RefusedError
        A file can't be written.
    """
    if kind not in FORMATS:
        raise UsageProblemError(f"figures are not written as {kind!r}", f"choose one of {', '.join(FORMATS)}")
    report = gathered(catalog, subject)
    written = []
    for plot in plots(report, most_exposures=None, origin=origin):
        on_progress(f"drawing {plot.name}")
        content = figure_bytes(plot.draw(), kind)
        written.append(write_new(folder / f"{_stem(subject)}_{plot.name}.{kind}", content, overwrite=True))
    moving = blink(catalog, report, origin)
    if isinstance(moving, str):
        on_progress(f"no picture of stars before and after: {moving}")
    else:
        written.append(write_new(folder / f"{_stem(subject)}_blink.png", moving, overwrite=True))
    return tuple(written)


def _check_place(path: Path) -> None:
    """Refuse to write over anything but an older report."""
    if not path.exists():
        return
    if path.is_dir() or MARK.encode() not in _beginning(path):
        raise RefusedError(f"{path} is there already and is no report", "write elsewhere")


def _beginning(path: Path) -> bytes:
    try:
        with open(path, "rb") as stream:
            return stream.read(1000)
    except OSError as error:
        raise RefusedError(f"{path} can't be read: {error.strerror}", "write elsewhere") from error


def _pictures(report: AlignmentReport, moving: bytes | str, origin: LookupOrigin) -> Iterator[Picture]:
    """The pictures of a page, each drawn when it is asked for."""
    if isinstance(moving, bytes):
        yield Picture(*_BLINK, _BLINK_CAPTION, moving)
    own = {attempt.rootname for attempt in report.attempts}
    for plot in plots(report, origin=origin):
        yield _picture(plot, own)


def _picture(plot: Plot, rootnames: set[str]) -> Picture:
    folded = plot.name.rpartition("_")[2] in rootnames
    png = _smaller(figure_bytes(plot.draw(), dpi=_DPI))
    return Picture(plot.group, plot.title, plot.caption, png, folded)


def _smaller(png: bytes) -> bytes:
    """The picture with 64 colours, rare ones too: a third of the size, and nothing lost to the eye."""
    from PIL import Image

    stream = io.BytesIO()
    whole = Image.open(io.BytesIO(png)).convert("RGB")
    few = whole.quantize(_COLOURS, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
    few.save(stream, format="PNG", optimize=True)
    return stream.getvalue()


def _notes(report: AlignmentReport) -> list[str]:
    drawn = [attempt for attempt in report.final.values() if len(report.stars_of(attempt))]
    if len(drawn) <= MOST_EXPOSURES:
        return []
    return [
        f"Of {len(drawn)} exposures those {MOST_EXPOSURES} are shown one by one whose places are known "
        "worst; all others: hapctl align report --plots."
    ]


def _fitting(pictures: Iterable[Picture]) -> tuple[list[Picture], bool]:
    """The first pictures, as many as the page may hold, and whether these are all."""
    shown: list[Picture] = []
    room = LARGEST_PAGE
    for picture in pictures:
        room -= len(picture.png) * 4 // 3
        if room < 0:
            return shown, False
        shown.append(picture)
    return shown, True
