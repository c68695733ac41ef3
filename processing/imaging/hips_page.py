"""What makes a folder of tiles a HiPS that can be looked at and published: properties, coverage, a page.

The page shows the surveys in Aladin Lite, whose script the reader's browser loads from its public address
(https://aladin.cds.unistra.fr), or from another one, such as a copy beside the page.
"""

import html
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from hapctl.processing.imaging.hips import FRAME, TILE

ALADIN = "https://aladin.cds.unistra.fr/AladinLite/api/v3/latest/aladin.js"


@dataclass(frozen=True)
class SurveyFacts:
    """What the properties file of a HiPS says (IVOA HiPS 1.0, 4.4.1).

    Attributes
    ----------
    identifier : str
        IVOID.
    title, collection, description, instruments, filters : str
    progenitors : tuple of str
        Names of the products.
    order : int
    formats : str
        ``png fits`` or ``png``.
    released : str
        A moment, ISO 8601, UTC.
    centre : tuple of float
        RA, Dec in degrees.
    field : float
        Degrees across.
    sky_fraction : float
    pixel_scale : float
        Degrees, of the products.
    levels : tuple of float
        Lowest and highest value shown; empty for colour.
    wavelengths : tuple of float
        Metres, shortest and longest pivot; empty where not known.
    times : tuple of float
        MJD of the first start and the last end; empty where not known.
    bytes : int
    inputs : str
        Address of what was shown.
    software : str
    """

    identifier: str
    title: str
    collection: str
    description: str
    instruments: str
    filters: str
    progenitors: tuple[str, ...]
    order: int
    formats: str
    released: str
    centre: tuple[float, float]
    field: float
    sky_fraction: float
    pixel_scale: float
    levels: tuple[float, ...]
    wavelengths: tuple[float, ...]
    times: tuple[float, ...]
    bytes: int
    inputs: str
    software: str


def properties_text(facts: SurveyFacts) -> str:
    """Return the properties file of a HiPS."""
    scale = 58.6323 / (2**facts.order * TILE)
    entries: dict[str, object] = {
        "creator_did": facts.identifier,
        "obs_collection": facts.collection,
        "obs_title": facts.title,
        "obs_description": facts.description,
        "facility_name": "HST",
        "instrument_name": facts.instruments,
        "obs_regime": _regimes(facts.wavelengths),
        "prov_progenitor": " ".join(facts.progenitors),
        "hips_builder": facts.software,
        "hips_version": "1.4",
        "hips_release_date": facts.released,
        "hips_creation_date": facts.released,
        "hips_status": "public master clonableOnce",
        "hips_tile_format": facts.formats,
        "hips_tile_width": TILE,
        "hips_order": facts.order,
        "hips_order_min": 0,
        "hips_frame": FRAME,
        "hips_pixel_scale": f"{scale:.6e}",
        "hips_initial_ra": f"{facts.centre[0]:.8f}",
        "hips_initial_dec": f"{facts.centre[1]:.8f}",
        "hips_initial_fov": f"{facts.field:.6f}",
        "hips_estsize": -(-facts.bytes // 1024),
        "s_pixel_scale": f"{facts.pixel_scale:.6e}",
        "moc_sky_fraction": f"{facts.sky_fraction:.6e}",
        "dataproduct_type": "image",
        "hapctl_inputs": facts.inputs,
    }
    if facts.levels:
        shown = " ".join(f"{value:.6g}" for value in facts.levels)
        entries |= {"hips_pixel_bitpix": -32, "hips_pixel_cut": shown}
    else:
        entries["dataproduct_subtype"] = "color"
    if facts.wavelengths:
        entries |= {"em_min": f"{facts.wavelengths[0]:.4e}", "em_max": f"{facts.wavelengths[-1]:.4e}"}
    if facts.times:
        entries |= {"t_min": f"{facts.times[0]:.5f}", "t_max": f"{facts.times[-1]:.5f}"}
    return "".join(f"{name:20} = {value}\n" for name, value in entries.items())


def _regimes(wavelengths: Sequence[float]) -> str:
    from hapctl.processing.imaging.pivot_wavelengths import spectral_band

    names = {"Ultraviolet": "UV", "Optical": "Optical", "Infrared": "Infrared"}
    found = [names[spectral_band(metres * 1e9)] for metres in wavelengths]
    return " ".join(dict.fromkeys(found)) or "Optical"


def read_properties(folder: Path) -> dict[str, str]:
    """Return the properties of a HiPS; empty where there is none."""
    try:
        lines = (folder / "properties").read_text().splitlines()
    except OSError:
        return {}
    pairs = (line.split("=", 1) for line in lines if "=" in line and not line.startswith("#"))
    return {name.strip(): value.strip() for name, value in pairs}


def page_text(title: str, surveys: Mapping[str, str], facts: SurveyFacts, script: str = ALADIN) -> str:
    """Return a page that shows surveys in Aladin Lite, one at a time.

    Parameters
    ----------
    title : str
    surveys : mapping of str to str
        Folder (relative to the page) to what is shown for it; the first is shown first.
    facts : SurveyFacts
        Where to look.
    script : str
        Address of Aladin Lite's script.
    """
    choices = "".join(
        f'<option value="{html.escape(folder)}">{html.escape(words)}</option>'
        for folder, words in surveys.items()
    )
    start = {"target": f"{facts.centre[0]:.6f} {facts.centre[1]:+.6f}", "fov": round(facts.field, 5)}
    return _PAGE.format(
        title=html.escape(title),
        script=html.escape(script),
        choices=choices,
        start=json.dumps(start | {"cooFrame": "ICRSd", "projection": "TAN"}).replace("<", "\\u003c"),
        first=json.dumps(next(iter(surveys))).replace("<", "\\u003c"),
    )


_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
body {{ margin: 0; font: 15px sans-serif; background: #111; color: #ddd }}
header {{ padding: 6px 10px }}
#sky {{ width: 100vw; height: calc(100vh - 42px) }}
</style>
<script src="{script}"></script>
</head>
<body>
<header>{title}: <select id="survey">{choices}</select>
<label><input type="checkbox" id="moc"> coverage</label></header>
<div id="sky"><noscript>Aladin Lite needs JavaScript.</noscript></div>
<script>
const here = (path) => new URL(path, window.location.href).href;
if (window.A) A.init.then(() => {{
  const sky = A.aladin("#sky", {start});
  const survey = document.getElementById("survey"), moc = document.getElementById("moc");
  let layer = null;
  const show = (folder) => {{
    sky.setBaseImageLayer(A.imageHiPS(here(folder), {{imgFormat: "png"}}));
    if (layer) sky.removeOverlay(layer);
    layer = null;
    if (moc.checked) {{
      layer = A.MOCFromURL(here(folder + "/Moc.fits"), {{color: "#8cf", lineWidth: 2, opacity: 0.2}});
      sky.addMOC(layer);
    }}
  }};
  survey.onchange = moc.onchange = () => show(survey.value);
  show({first});
}});
else document.getElementById("sky").textContent =
  "Aladin Lite could not be loaded: a network connection, or a copy of its script, is needed.";
</script>
</body>
</html>
"""
