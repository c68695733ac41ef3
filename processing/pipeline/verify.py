"""`product verify`: the files of products against what the catalog knows of them."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from hapctl.archive.database import Catalog
from hapctl.archive.product_files import FileState, ProductFile, record_checks
from hapctl.archive.runs import recorded_run
from hapctl.processing.imaging.observer import Observer
from hapctl.processing.imaging.product_file import file_sha256

Depth = Literal["size", "content", "pixels"]
_TOGETHER = 500
"""Checks recorded in one transaction: what was seen before a run was killed stays known."""


@dataclass(frozen=True)
class CheckedFile:
    """What was seen of a file.

    Attributes
    ----------
    file : ProductFile
    state : {"ok", "missing", "damaged"} or None
        None: it could not be looked at, and nothing is recorded.
    problem : str
        In words; empty where it is as it was written.
    """

    file: ProductFile
    state: FileState | None
    problem: str = ""


def verify_files(
    catalog: Catalog,
    files: Sequence[ProductFile],
    depth: Depth = "content",
    *,
    arguments: Sequence[str] = (),
    observer: Observer | None = None,
) -> tuple[int, list[CheckedFile]]:
    """Look at files and record what was seen: products of missing or damaged ones are stale from then on.

    Parameters
    ----------
    catalog : Catalog
    files : sequence of ProductFile
    depth : {"size", "content", "pixels"}
        Size alone; size and SHA-256; besides CHECKSUM and DATASUM of each HDU of FITS files.
    arguments : sequence of str
        The command line, for the run.
    observer : Observer, optional

    Returns
    -------
    int
        The run.
    list of CheckedFile
        Of all files, in their order.
    """
    observer = observer or Observer()
    checked: list[CheckedFile] = []
    with recorded_run(catalog, "verify", {"depth": depth, "files": len(files)}, arguments) as run:
        for first in range(0, len(files), _TOGETHER):
            part = []
            for file in files[first : first + _TOGETHER]:
                part.append(_checked(file, depth))
                observer.progress("verify", len(checked) + len(part), len(files))
            seen = [(one.file, one.state) for one in part if one.state is not None]
            with catalog.begin() as connection:
                record_checks(connection, run.id, seen, contents_read=depth != "size")
            checked += part
        run.summary["files"] = dict(Counter(one.state or "not looked at" for one in checked))
        bad = sum(one.state != "ok" for one in checked)
        if bad:
            run.refused(f"{bad} of {len(checked)} files are not as they were written")
    return run.id, checked


def _checked(file: ProductFile, depth: Depth) -> CheckedFile:
    path = Path(file.path)
    if not path.parent.is_dir():
        return CheckedFile(file, None, "its folder is not there (is its disk mounted?)")
    try:
        size = path.stat().st_size
        if size != file.size_bytes:
            return CheckedFile(file, "damaged", f"it has {size} bytes, {file.size_bytes} were written")
        if depth != "size" and file_sha256(path) != file.sha256:
            return CheckedFile(file, "damaged", "its content is not what was written")
        problem = _checksum_problem(path) if depth == "pixels" and path.suffix == ".fits" else ""
    except FileNotFoundError:
        return CheckedFile(file, "missing", "it is not there")
    except OSError as error:
        return CheckedFile(file, None, f"it can't be read: {error.strerror}")
    return CheckedFile(file, "damaged" if problem else "ok", problem)


def _checksum_problem(path: Path) -> str:
    """Return which HDU says by its CHECKSUM or DATASUM that it is not as it was written."""
    from astropy.io import fits

    with fits.open(path) as hdus:
        for number, hdu in enumerate(hdus):
            if 0 in (hdu.verify_datasum(), hdu.verify_checksum()):
                return f"the checksum of its HDU {number} does not hold"
    return ""
