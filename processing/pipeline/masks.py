"""Cosmic-ray masks of a visit: made once, kept as files, used by all products.

The exposures of a visit with one detector, filter and frame are compared with each other, whatever the
policy of the products: so a mask depends on its group alone. A group is known by its content (files,
transformations, parameters); masks of the same content are used again.
"""

import os
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from hapctl.archive.database import Catalog
from hapctl.archive.products import (
    EligibleExposure,
    MaskRow,
    NewMask,
    find_mask,
    insert_mask,
    put_masks_in_force,
)
from hapctl.archive.runs import Run, parameters_sha256
from hapctl.processing.imaging.cosmic_rays import CosmicRayParameters, cosmic_ray_masks
from hapctl.processing.imaging.defaults import (
    NATIVE_SCALE_ARCSEC,
    SkyParameters,
    detector_defaults,
)
from hapctl.processing.imaging.grid import OutputGrid, north_up_grid
from hapctl.processing.imaging.mask_file import PackedMask, write_mask
from hapctl.processing.imaging.product_file import file_sha256
from hapctl.processing.pipeline.open_exposures import OpenExposures
from hapctl.processing.pipeline.publish import aside, sync_folder

MASK_ENGINE = 1
"""Raised when the same inputs and parameters give other masks."""


@dataclass(frozen=True)
class MaskGroup:
    """Exposures whose cosmic rays are found by comparison with each other.

    Attributes
    ----------
    exposures : tuple of EligibleExposure
        Two at least, by rootname.
    sky : SkyParameters
    cosmic_rays : CosmicRayParameters
    parameters : mapping
        Both, and all else the masks depend on but the inputs.
    parameters_sha256, inputs_sha256 : str
    """

    exposures: tuple[EligibleExposure, ...]
    sky: SkyParameters
    cosmic_rays: CosmicRayParameters
    parameters: Mapping[str, object]
    parameters_sha256: str
    inputs_sha256: str


def mask_groups(exposures: Sequence[EligibleExposure], origin: str) -> list[MaskGroup]:
    """Return the groups among the eligible exposures of visits; single exposures are in none."""
    groups: dict[tuple[str, ...], list[EligibleExposure]] = defaultdict(list)
    for exposure in exposures:
        key = (exposure.visit, exposure.instrument, exposure.detector, exposure.filter, exposure.frame)
        groups[key].append(exposure)
    found = [_group(members, origin) for _, members in sorted(groups.items()) if len(members) > 1]
    return [group for group in found if group is not None]


def _group(members: list[EligibleExposure], origin: str) -> MaskGroup | None:
    exposures = tuple(sorted(members, key=lambda exposure: exposure.rootname))
    first = exposures[0]
    start = min(exposure.mjd_start for exposure in exposures)
    defaults = detector_defaults(first.detector, start, len(exposures))
    if defaults.cosmic_rays is None:
        return None
    parameters = {
        "engine": MASK_ENGINE,
        "sky": asdict(defaults.sky),
        "cosmic_rays": asdict(defaults.cosmic_rays),
        "scale_arcsec": NATIVE_SCALE_ARCSEC[first.detector],
        "lookup_origin": origin,
    }
    inputs = [
        [exposure.rootname, exposure.file_sha256, exposure.transformation_sha256] for exposure in exposures
    ]
    return MaskGroup(
        exposures,
        defaults.sky,
        defaults.cosmic_rays,
        parameters,
        parameters_sha256(parameters),
        parameters_sha256({"exposures": inputs}),
    )


def found_masks(catalog: Catalog, group: MaskGroup, home: Path) -> dict[str, MaskRow]:
    """Return the masks of a group that exist, row and file, by rootname."""
    with catalog.begin() as connection:
        rows = {
            exposure.rootname: find_mask(connection, exposure, group.inputs_sha256, group.parameters_sha256)
            for exposure in group.exposures
        }
    return {
        rootname: row
        for rootname, row in rows.items()
        if row is not None and (home / row.path).is_file() and file_sha256(home / row.path) == row.sha256
    }


def ensure_masks(
    catalog: Catalog,
    run: Run,
    opened: OpenExposures,
    exposures: Sequence[EligibleExposure],
    *,
    home: Path,
    threads: int,
) -> dict[str, MaskRow]:
    """Make the masks that are missing and put those of all these exposures in force.

    Parameters
    ----------
    catalog : Catalog
    run : Run
        Holds the locks of the visits.
    opened : OpenExposures
    exposures : sequence of EligibleExposure
        All of their visits.
    home : Path
        Masks lie in its folder ``masks``; rows hold the path relative to it.
    threads : int

    Returns
    -------
    dict of str to MaskRow
        By rootname; exposures of no group have no mask, and none is in force afterwards.
    """
    masks: dict[str, MaskRow] = {}
    for group in mask_groups(exposures, opened.origin):
        found = found_masks(catalog, group, home)
        if len(found) < len(group.exposures):
            found |= _made(catalog, run, opened, group, found, home, threads)
        masks |= found
    in_force = {
        exposure.exposure_id: masks[exposure.rootname].mask_id if exposure.rootname in masks else None
        for exposure in exposures
    }
    with catalog.begin() as connection:
        put_masks_in_force(connection, run.id, in_force)
    return masks


def group_grid(opened: OpenExposures, group: MaskGroup) -> OutputGrid:
    """Return the grid on which a group is compared: north up, native scale, its own extent."""
    scale = NATIVE_SCALE_ARCSEC[group.exposures[0].detector]
    return north_up_grid(opened.chip_wcs(group.exposures), scale, opened.origin)


def _made(
    catalog: Catalog,
    run: Run,
    opened: OpenExposures,
    group: MaskGroup,
    found: Mapping[str, MaskRow],
    home: Path,
    threads: int,
) -> dict[str, MaskRow]:
    chips = [opened.prepared(exposure, group.sky) for exposure in group.exposures]
    grid = group_grid(opened, group)
    hits = cosmic_ray_masks(chips, grid, group.cosmic_rays, threads=threads, origin=opened.origin)
    made = {}
    for exposure, members, masks in zip(group.exposures, chips, hits, strict=True):
        if exposure.rootname in found:
            continue
        packed = {chip.pixels.extver: PackedMask.of(mask) for chip, mask in zip(members, masks, strict=True)}
        made[exposure.rootname] = _kept(catalog, run, group, exposure, packed, home)
    return made


def _kept(
    catalog: Catalog,
    run: Run,
    group: MaskGroup,
    exposure: EligibleExposure,
    masks: Mapping[int, PackedMask],
    home: Path,
) -> MaskRow:
    """Write a mask under a name made of its content's address, then record it.

    Killed between the two, the next run writes the same file again.
    """
    address = f"{group.inputs_sha256[:8]}{group.parameters_sha256[:8]}"
    path = Path("masks") / exposure.visit / f"{exposure.rootname}_{address}_crmask.fits"
    final = home / path
    final.parent.mkdir(parents=True, exist_ok=True)
    write_mask(aside(final), masks, _cards(group, exposure))
    size, sha256 = aside(final).stat().st_size, file_sha256(aside(final))
    os.replace(aside(final), final)
    sync_folder(final.parent)
    flagged = sum(mask.count() for mask in masks.values())
    row = NewMask(
        exposure.exposure_id,
        exposure.file_id,
        exposure.solution_id,
        group.inputs_sha256,
        group.parameters,
        group.parameters_sha256,
        str(path),
        sha256,
        size,
        flagged,
    )
    with catalog.begin() as connection:
        mask_id = insert_mask(connection, run.id, row)
    return MaskRow(mask_id, str(path), sha256, flagged, run.id)


def _cards(group: MaskGroup, exposure: EligibleExposure) -> list[tuple[str, str, str]]:
    return [
        ("ROOTNAME", exposure.rootname, "exposure"),
        ("HAPPARAM", group.parameters_sha256, ""),
        ("HAPINPUT", group.inputs_sha256, ""),
    ]
