"""The parameters of a drizzle from all their sources, in order: the last one holds.

Defaults of AstroDrizzle, defaults of the detector, MDRIZTAB, an imported ``.cfg``, a TOML file, single
settings, and the lookup origin of the command line.
"""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from hapctl.processing.astrometry.fits_structure import number
from hapctl.processing.astrometry.solution import LookupOrigin
from hapctl.processing.errors import UsageProblemError
from hapctl.processing.imaging.defaults import NATIVE_SCALE_ARCSEC
from hapctl.processing.imaging.files_description import detector_of, filter_of
from hapctl.processing.imaging.input_files import InputExposure
from hapctl.processing.imaging.parameter_import import import_cfg, import_mdriztab
from hapctl.processing.imaging.parameters import DRIZZLE, DrizzleParameters
from hapctl.processing.imaging.product_seed import drizzle_defaults
from hapctl.processing.parameter_cfg import Imported
from hapctl.processing.parameter_file import Change, changed, parse_setting, read_parameter_file


@dataclass(frozen=True)
class ParameterSources:
    """Where parameters come from.

    Attributes
    ----------
    mdriztab, cfg, file : Path or None
        An MDRIZTAB, a configuration of AstroDrizzle, a TOML file.
    settings : tuple of str
        ``step.name=value`` each.
    origin : {"hst", "fits"} or None
        The lookup origin where it is asked for on the command line.
    usual_origin : {"hst", "fits"}
        The lookup origin where nothing says otherwise.
    """

    mdriztab: Path | None = None
    cfg: Path | None = None
    file: Path | None = None
    settings: tuple[str, ...] = ()
    origin: LookupOrigin | None = None
    usual_origin: LookupOrigin = "hst"


def choose_parameters(
    sources: ParameterSources, exposures: Sequence[InputExposure]
) -> tuple[DrizzleParameters, list[str]]:
    """Return the parameters for some exposures, and what is to be said of their imports.

    Parameters
    ----------
    sources : ParameterSources
    exposures : sequence of InputExposure
        None: the defaults are those of no detector.

    Raises
    ------
    UsageProblemError
        A source can't be read, or a name or value in it will not do.
    """
    imports = [*_mdriztab(sources, exposures), *([import_cfg(sources.cfg)] if sources.cfg else [])]
    changes: list[Change] = [change for one in imports for change in one.changes]
    changes += read_parameter_file(DRIZZLE, sources.file) if sources.file else []
    changes += [parse_setting(DRIZZLE, text) for text in sources.settings]
    base, told = usual_parameters(exposures)
    parameters = changed(replace(base, lookup_origin=sources.usual_origin), changes)
    if sources.origin is not None:
        parameters = replace(parameters, lookup_origin=sources.origin)
    return parameters, [*told, *(note for one in imports for note in one.notes)]


def usual_parameters(exposures: Sequence[InputExposure]) -> tuple[DrizzleParameters, list[str]]:
    """Return the defaults for some exposures, and what is to be said of them.

    Those of their detector for as many exposures as the most frequent filter has, with the variance image;
    of several or unknown detectors, AstroDrizzle's.
    """
    detectors = {detector_of(one.header) for one in exposures}
    if len(detectors) > 1:
        return DrizzleParameters(), ["exposures of several detectors: the defaults are those of no detector"]
    detector = next(iter(detectors), "")
    if detector not in NATIVE_SCALE_ARCSEC:
        return DrizzleParameters(), []
    starts = [number(one.header, "EXPSTART") for one in exposures]
    start = min((value for value in starts if math.isfinite(value)), default=math.inf)
    name = filter_of(exposures[0]).lower()
    most = max(Counter(filter_of(one) for one in exposures).values())
    chosen = drizzle_defaults(detector, start, "filter", most, name)
    return replace(chosen, final=replace(chosen.final, variance=True)), []


def _mdriztab(sources: ParameterSources, exposures: Sequence[InputExposure]) -> list[Imported]:
    if sources.mdriztab is None:
        return []
    if not exposures:
        raise UsageProblemError(
            "--mdriztab without input files", "name them: filter and number choose the row"
        )
    return [import_mdriztab(sources.mdriztab, exposures[0].filters, len(exposures))]
