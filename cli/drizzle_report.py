"""What ``hapctl drizzle`` reports: a document, and lines for people made from it."""

import math
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hapctl.processing.imaging.drizzle_files import DrizzledFiles, DrizzlePlan
    from hapctl.processing.imaging.grid import OutputGrid
    from hapctl.processing.imaging.open_files import OpenFiles
    from hapctl.processing.imaging.parameters import DrizzleParameters
    from hapctl.processing.imaging.prepared import PreparedChip

Document = dict[str, Any]


def plan_document(
    opened: "OpenFiles", parameters: "DrizzleParameters", plan: "DrizzlePlan", facts: Document
) -> Document:
    """Return what would be done."""
    inputs = [
        _input(opened, number, [_chip(chip) for chip in chips])
        for number, chips in enumerate(opened.exposures)
    ]
    return {"status": "to make", "files": _paths(plan.files), **_common(inputs, parameters, plan, facts)}


def result_document(
    opened: "OpenFiles",
    parameters: "DrizzleParameters",
    plan: "DrizzlePlan",
    made: "DrizzledFiles",
    facts: Document,
) -> Document:
    """Return what was done, with the profile by step, skies and fractions flagged."""
    inputs = [
        _input(opened, number, [_measured(made, number, place) for place in range(len(chips))])
        for number, chips in enumerate(made.exposures)
    ]
    written = made.written
    notes = list(dict.fromkeys([*facts["notes"], *made.comparison.notes]))
    return {
        "status": "made",
        "found": [note for note in notes if note not in facts["notes"]],
        "files": _paths(written.paths) if written else [],
        "preview": str(made.preview) if made.preview else None,
        "kept": _paths(made.kept),
        "pixels_sha256": written.pixels_sha256 if written else None,
        "statistics": asdict(written.statistics) if written else None,
        **_common(inputs, parameters, plan, facts | {"notes": notes}),
        "profile": {name: asdict(step) for name, step in made.clock.seconds().items()},
        "seconds": facts["seconds"],
        "cpu_seconds": facts["cpu_seconds"],
        "peak_memory_bytes": facts["peak_memory_bytes"],
    }


def _common(
    inputs: list[Document], parameters: "DrizzleParameters", plan: "DrizzlePlan", facts: Document
) -> Document:
    return {
        "grid": grid_document(plan.final),
        "comparisons": [
            {"label": group.label, "members": list(group.members), "grid": grid_document(group.grid)}
            for group in plan.groups
        ],
        "inputs": inputs,
        "left_out": [{"name": one.name, "reason": one.reason} for one in facts["left_out"]],
        "notes": facts["notes"],
        "parameters": asdict(parameters),
        "disk_bytes": plan.disk,
        "scratch_bytes": plan.memory.scratch,
        "predicted_memory_bytes": plan.memory.peak,
    }


def _paths(paths: tuple[Path, ...]) -> list[str]:
    return [str(path) for path in paths]


def _input(opened: "OpenFiles", number: int, chips: list[Document]) -> Document:
    one = opened.inputs[number]
    return {
        "file": str(one.file.path),
        "weight_map": str(one.file.weight_map) if one.file.weight_map else None,
        "rootname": one.solution.rootname,
        "wcsname": one.solution.name,
        "filters": list(one.filters),
        "exposure_time": opened.exposures[number][0].exposure_time,
        "chips": chips,
    }


def _chip(chip: "PreparedChip") -> Document:
    return {
        "extver": chip.pixels.extver,
        "chip": chip.pixels.chip,
        "nx": chip.shape[1],
        "ny": chip.shape[0],
        "context_bit": chip.context_bit,
        "flux_factor": chip.flux_factor,
    }


def _measured(made: "DrizzledFiles", exposure: int, place: int) -> Document:
    chip = made.exposures[exposure][place]
    pixels = chip.shape[0] * chip.shape[1]
    masks: dict[str, Any] = {"static_fraction": chip.static, "flagged_fraction": chip.hits}
    if exposure in made.comparison.untested:
        masks["untested_fraction"] = made.comparison.untested[exposure][place]
    fractions = {name: None if mask is None else mask.count() / pixels for name, mask in masks.items()}
    skies = {
        "sky_electrons": chip.sky,
        "sky_rate": chip.sky / chip.exposure_time,
        "sky_total_electrons": chip.sky_total,
        "sky_why": chip.sky_why,
    }
    return {**_chip(chip), **skies, **fractions}


def grid_document(grid: "OutputGrid | None") -> Document | None:
    """Return a grid as plain data; sizes are columns and rows, the rotation that of the y axis."""
    if grid is None:
        return None
    return {
        "nx": grid.shape[1],
        "ny": grid.shape[0],
        "scale_arcsec": grid.scale_arcsec,
        "rotation_deg": math.degrees(math.atan2(grid.cd[1], grid.cd[3])),
        "crval": list(grid.crval),
        "crpix": list(grid.crpix),
        "cd": list(grid.cd),
    }


def plan_lines(document: Document) -> Iterator[str]:
    """Yield the plan for people."""
    for path in document["files"]:
        yield f"to make    {path}"
    yield from _grid_lines(document)
    for one in document["inputs"]:
        chips = ", ".join(f"{chip['nx']} x {chip['ny']}" for chip in one["chips"])
        yield f"           {one['file']}  {one['exposure_time']:.1f} s  {one['wcsname']}  {chips}"
    disk = (document["disk_bytes"] + document["scratch_bytes"]) / 1e6
    yield f"           {disk:.1f} MB of disk, {document['predicted_memory_bytes'] / 1e6:.0f} MB of memory"


def result_lines(document: Document) -> Iterator[str]:
    """Yield the result for people."""
    for path in [*document["files"], *([document["preview"]] if document["preview"] else [])]:
        yield f"made       {path}"
    for path in document["kept"]:
        yield f"kept       {path}"
    yield from _grid_lines(document)
    for one in document["inputs"]:
        yield f"           {_measured_line(one)}"
    yield from (f"           {note}" for note in document["found"])
    steps = ", ".join(
        f"{name.replace('_', ' ')} {step['processor']:.2f}" for name, step in document["profile"].items()
    )
    memory = f"{document['peak_memory_bytes'] / 1e6:.0f} MB of memory"
    yield f"           {document['seconds']:.2f} s, {memory}; processor seconds by step: {steps}"


def _grid_lines(document: Document) -> Iterator[str]:
    grid = document["grid"]
    if grid is None:
        return
    turned = (
        "north up" if abs(grid["rotation_deg"]) < 1e-9 else f"y axis at {grid['rotation_deg']:.4f} degrees"
    )
    ra, dec = grid["crval"]
    yield (
        f"           {grid['nx']} x {grid['ny']} pixels of {grid['scale_arcsec']:.6g} arcsec, {turned}, "
        f"about RA {ra:.6f} Dec {dec:+.6f}"
    )


def _measured_line(one: Document) -> str:
    skies = ", ".join(f"{chip['sky_electrons']:.2f}" for chip in one["chips"])
    flagged = [chip["flagged_fraction"] for chip in one["chips"] if chip["flagged_fraction"] is not None]
    rays = f", cosmic rays {100 * sum(flagged) / len(flagged):.2f} %" if flagged else ""
    return f"{Path(one['file']).name}  {one['exposure_time']:.1f} s, sky {skies} electrons{rays}"
