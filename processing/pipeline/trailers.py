"""Trailer logs of products and manifests of visits and tiles, made from the catalog's records.

A trailer tells what was decided and why: inputs and their checksums, solutions and fits, masks, sky values,
parameters and the rules that chose them, what was left out, seconds and memory, software. The same rows give
the same text, so it can be written again at any time (``hapctl product trailer``); it is no record itself.
Names are HAP's (hap_reference 3.3); a manifest names the files of all products, one a line.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from hapctl.archive.database import Catalog
from hapctl.archive.trailer_rows import files_of_target, trailer_rows
from hapctl.processing.imaging.product_rules import LEVELS, ProductCase, Reason
from hapctl.processing.pipeline.build_product import ProductResult
from hapctl.processing.pipeline.product_policies import rules_of_policy
from hapctl.processing.whole_files import write_whole
from sqlalchemy import Connection

_ENDING = re.compile(r"(_(drz|drc|flt|flc|c0m))?\.fits$")
_LEVEL_OF_KIND = {"mosaic": "layer"}

Row = Mapping[str, Any]


def trailer_name(product: str) -> str:
    """Return the name of the trailer log of a product.

    Examples
    --------
    >>> trailer_name("hst_9019_06_acs_hrc_total_j8bt06_drz.fits")
    'hst_9019_06_acs_hrc_total_j8bt06_trl.txt'
    """
    return _ENDING.sub("", product) + "_trl.txt"


def visit_manifest_name(instrument: str, visit: str) -> str:
    """Return the name of the manifest of a visit.

    Examples
    --------
    >>> visit_manifest_name("ACS", "j8bt06")
    'acs_8bt_06_manifest.txt'
    """
    return f"{instrument.lower()}_{visit[1:4]}_{visit[4:6]}_manifest.txt"


def tile_manifest_name(tile: str) -> str:
    """Return the name of the manifest of a sky tile."""
    return f"{tile}_manifest.txt"


def write_trailer(catalog: Catalog, product_id: int) -> Path:
    """Write the trailer log of a product beside it; return where.

    Raises
    ------
    NotInCatalogError
        There is no such product.
    """
    with catalog.begin() as connection:
        row = trailer_rows(connection, product_id)
        text = _trailer(row, _reasons(connection, row))
    path = Path(row["folder"]) / trailer_name(row["name"])
    write_whole(path, text)
    return path


def trailer_text(catalog: Catalog, product_id: int) -> str:
    """Return the trailer log of a product."""
    with catalog.begin() as connection:
        row = trailer_rows(connection, product_id)
        return _trailer(row, _reasons(connection, row))


def write_manifest(
    catalog: Catalog, folder: Path, *, visit: str | None = None, tile: str | None = None
) -> Path | None:
    """Write the manifest of a visit or tile in a folder of products, unless it says all that already.

    Returns
    -------
    Path or None
        Where it lies; None without products.
    """
    with catalog.begin() as connection:
        products = files_of_target(connection, str(folder), visit=visit, tile=tile)
    if not products:
        return None
    name = visit_manifest_name(products[0].instrument, visit) if visit else tile_manifest_name(str(tile))
    files = [file for one in products for file in (*one.files, trailer_name(one.name))]
    path, content = folder / name, "".join(f"{file}\n" for file in files)
    if not (path.is_file() and path.read_text() == content):
        write_whole(path, content)
    return path


def write_logs(
    catalog: Catalog, folder: Path, products: Sequence[ProductResult], target: Mapping[str, Any]
) -> None:
    """Write, after a run, the trailers of what it made, those that are missing, and the manifest.

    Parameters
    ----------
    catalog : Catalog
    folder : Path
        Of the products.
    products : sequence of ProductResult
        Results of the run.
    target : mapping
        ``visit`` or ``tile``, of which there is a manifest.
    """
    for one in products:
        if one.product_id is not None and one.status in ("made", "unchanged"):
            trailer = folder / trailer_name(one.name)
            if one.status == "made" or not trailer.is_file():
                write_trailer(catalog, one.product_id)
    names = {name: target[name] for name in ("visit", "tile") if target.get(name)}
    if names:
        write_manifest(catalog, folder, **names)


def _reasons(connection: Connection, row: Row) -> Sequence[Reason]:
    """Which rule or setting chose each parameter, found again from the policy and the inputs."""
    level = _LEVEL_OF_KIND.get(row["kind"], row["kind"])
    if row["policy_id"] is None or level not in LEVELS or not row["inputs"]:
        return ()
    inputs = row["inputs"]
    filters = [one["filter"] for one in inputs]
    case = ProductCase(
        detector=row["detector"],
        level=level,
        exposures=max(filters.count(name) for name in filters),
        start_mjd=min(one["mjd_start"] for one in inputs),
        filter=filters[0],
        visits=tuple(sorted({one["visit"] for one in inputs})),
    )
    request = row["request"]
    pixfrac = request.get("pixfrac")
    settings = [*request.get("settings", ()), *([] if pixfrac is None else [f"final.pixfrac={pixfrac!r}"])]
    return rules_of_policy(connection, row["policy_id"]).chosen(case, settings).why


def _trailer(row: Row, why: Sequence[Reason]) -> str:
    sections = [
        ("product", _product(row)),
        ("run", _run(row)),
        ("inputs", _inputs(row["inputs"])),
        ("alignment", _alignment(row["inputs"])),
        ("cosmic-ray masks", _masks(row["inputs"])),
        ("left out", [f"{one['rootname']}  {one['code']}: {one['reason']}" for one in row["left_out"]]),
        ("parameters", _parameters(row, why)),
        ("seconds by step, of the whole run", _profile(row["summary"].get("profile", {}))),
        ("software", [f"{name:18} {version}" for name, version in sorted(row["software"].items())]),
        ("files", [f"{one['sha256']}  {one['bytes']:12d}  {one['name']}" for one in row["files"]]),
    ]
    head = f"{row['name']}: made by hapctl {row['hapctl_version']}, run {row['run_id']}\n"
    return head + "".join(_section(title, lines) for title, lines in sections)


def _section(title: str, lines: Iterable[str]) -> str:
    body = "".join(f"  {line}\n" for line in lines) or "  none\n"
    return f"\n{title.upper()}\n{body}"


def _product(row: Row) -> Iterator[str]:
    place = row["visit"] or row["tile"] or "a field of its own"
    part = f", part {row['label']}" if row["label"] else ""
    yield f"{row['kind']} of {place}{part}: {row['instrument']}/{row['detector']}, {row['filter']}"
    size = f"{row['nx']} x {row['ny']} pixels of {row['pixel_scale']:g} arcsec"
    yield f"grid       {size} about {_numbers(row['centre'])}"
    yield f"footprint  {row['s_region']}"
    yield f"pixels     sha256 {row['pixels_sha256']}"
    yield f"inputs     sha256 {row['inputs_sha256']}"


def _run(row: Row) -> Iterator[str]:
    yield f"command    hapctl {' '.join(row['arguments']) or row['command']}"
    yield f"began      {_moment(row['started'])}"
    if row["ended"] is not None:
        yield f"ended      {_moment(row['ended'])}, {row['outcome']}"
        yield f"memory     {row['peak_memory_bytes'] / 1e6:.0f} MB at its peak"
    yield f"on         {row['host']} ({row['cpu']}) by {row['operator']}"


def _inputs(inputs: Sequence[Row]) -> Iterator[str]:
    for one in inputs:
        yield (
            f"{one['rootname']}_{one['suffix']}  {one['filter']}  {one['exposure_time']:g} s from MJD "
            f"{one['mjd_start']:.6f}, sha256 {one['file_sha256']}"
        )
        yield f"    sky of its chips subtracted: {_numbers(one['sky'], 6)} electrons/s a pixel"


def _alignment(inputs: Sequence[Row]) -> Iterator[str]:
    for one in inputs:
        yield f"{one['rootname']}  {one['wcsname']} in {one['frame']}, of run {one['solution_run']}"
        yield f"    transformation sha256 {one['transformation_sha256']}"
        if one["attempt"]:
            yield from _fit(one["attempt"])


def _fit(fit: Row) -> Iterator[str]:
    to = f"to {fit['catalog']}" if fit["catalog"] else "to each other"
    yield f"    {fit['method']} fit {to} ({fit['geometry']}), run {fit['run']}: {fit['reason']}"
    figures = [f"{fit['nmatches']} stars"]
    figures += _pair("rms", fit["rms_ra_mas"], fit["rms_dec_mas"], "mas")
    figures += _pair("shift", fit["shift_ra_mas"], fit["shift_dec_mas"], "mas")
    if fit["rotation_deg"] is not None:
        figures.append(f"turned {fit['rotation_deg']:.5f} degree")
    if fit["predicted_error_mas"] is not None:
        figures.append(f"predicted error {fit['predicted_error_mas']:.2f} mas")
    yield f"    {', '.join(figures)}"
    for answer in fit["references"] or ():
        yield f"    {answer['release']}: {answer['rows']} rows, sha256 {answer['answer_sha256']}"


def _pair(name: str, first: float | None, second: float | None, unit: str) -> list[str]:
    return [] if first is None or second is None else [f"{name} {first:.2f} / {second:.2f} {unit}"]


def _masks(inputs: Sequence[Row]) -> Iterator[str]:
    for one in inputs:
        if one["mask_sha256"]:
            origin = f"of run {one['mask_run']}, sha256 {one['mask_sha256']}"
            yield f"{one['rootname']}  {one['mask_flagged']} pixels flagged, {origin}"


def _parameters(row: Row, why: Sequence[Reason]) -> Iterator[str]:
    yield f"wcs policy {row['wcs_policy']}; sha256 {row['parameters_sha256']}"
    if row["policy"]:
        yield f"rules      {row['policy']}@{row['policy_version']}; of each parameter the rule that chose it:"
    for one in why:
        before = "".join(f"; {name} had {_value(value)}" for name, value in one.overridden)
        yield f"{one.parameter:24} = {_value(one.value):16} {one.rule}{before}"
    asked = {name: value for name, value in row["request"].items() if value not in (None, [], False)}
    yield "asked for  " + ", ".join(f"{name} {_value(value)}" for name, value in sorted(asked.items()))


def _value(value: Any) -> str:
    if isinstance(value, list | tuple):
        return " ".join(map(_value, value))
    return f"{value:g}" if isinstance(value, float) else str(value)


def _profile(profile: Row) -> list[str]:
    return [
        f"{step:14} {seconds['processor']:9.2f} of processor {seconds['clock']:9.2f} passed"
        for step, seconds in profile.items()
    ]


def _numbers(values: Sequence[float] | None, digits: int = 9) -> str:
    return " ".join(f"{value:.{digits}g}" for value in values or ()) or "none"


def _moment(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="seconds")
