"""The reference files a header names for its distortion (IDCTAB, NPOLFILE ...), found and laid ready.

Names look like ``jref$0461802ej_idc.fits``: the part before the dollar is an environment variable with a
folder. A file is looked for beside the exposure, in the folders given, then where its name says; gzipped
ones are found too.
"""

import gzip
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from hapctl.processing.astrometry.fits_structure import Header, text
from hapctl.processing.errors import MissingFileError

KEYWORDS = ("IDCTAB", "OFFTAB", "NPOLFILE", "D2IMFILE", "DGEOFILE")
"""In this order they are looked for. DGEOFILE serves WFPC2 alone: elsewhere NPOLFILE took its place."""

VARIABLES = ("jref", "iref", "uref", "oref")


@dataclass(frozen=True)
class Reference:
    """A reference file of an exposure; ``path`` is None where an optional one was not found."""

    keyword: str
    value: str
    path: Path | None

    @property
    def name(self) -> str:
        """The file's name alone."""
        return file_name(self.value)


def file_name(value: str) -> str:
    """Return the name in a header's value: what follows the dollar and all folders."""
    return value.rsplit("$", 1)[-1].rsplit("/", 1)[-1]


def find_references(
    primary: Header, beside: Path, folders: Sequence[Path], environment: Mapping[str, str] = os.environ
) -> list[Reference]:
    """Find the reference files that a primary header names.

    Parameters
    ----------
    primary : dict
        The primary header.
    beside : Path
        Folder of the exposure.
    folders : sequence of Path
        Looked through after that.
    environment : mapping
        Where ``jref`` and the like are looked up.

    Returns
    -------
    list of Reference
        Those named; DGEOFILE may be without path.

    Raises
    ------
    MissingFileError
        One that is needed is nowhere, or no IDCTAB is named.
    """
    used = KEYWORDS if text(primary, "INSTRUME").upper() == "WFPC2" else KEYWORDS[:-1]
    named = {keyword: text(primary, keyword) for keyword in used}
    wanted = {keyword: value for keyword, value in named.items() if value.upper() not in ("", "N/A")}
    if "IDCTAB" not in wanted:
        raise MissingFileError(
            "its primary header names no IDCTAB",
            "fill the keyword by the best references of CRDS, then try again",
        )
    places = [beside, *folders]
    found = [Reference(key, value, _find(value, places, environment)) for key, value in wanted.items()]
    missing = [one for one in found if one.path is None and one.keyword != "DGEOFILE"]
    if missing:
        names = ", ".join(f"{one.keyword} {one.value}" for one in missing)
        variable = missing[0].value.split("$")[0] if "$" in missing[0].value else "jref"
        raise MissingFileError(
            f"{names}: not found",
            f"fetch it from CRDS and put it beside the file, give --reference-dir, or set {variable}",
        )
    return found


def _find(value: str, folders: Sequence[Path], environment: Mapping[str, str]) -> Path | None:
    places = [folder / file_name(value) for folder in folders]
    variable, dollar, rest = value.partition("$")
    if dollar and environment.get(variable):
        places.append(Path(environment[variable]) / rest)
    elif not dollar and os.path.isabs(value):
        places.append(Path(value))
    candidates = [one for place in places for one in (place, place.with_name(f"{place.name}.gz"))]
    return next((one for one in candidates if one.is_file()), None)


def lay_ready(references: Sequence[Reference], folder: Path) -> None:
    """Put the files found into a folder under their names: as links, or decompressed."""
    for one in references:
        if one.path is None:
            continue
        target = folder / one.name
        if one.path.suffix == ".gz" and not one.name.endswith(".gz"):
            with gzip.open(one.path, "rb") as source, target.open("wb") as stream:
                shutil.copyfileobj(source, stream)
        elif not target.exists():
            target.symlink_to(one.path.absolute())
