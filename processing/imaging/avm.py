"""Astronomy Visualization Metadata 1.2 of a picture, as an XMP packet (virtualastronomy.org).

Programs that know AVM (Aladin, WorldWide Telescope, the `reproject` package) place the picture on the sky by
it. Reference pixels count as in FITS: y upward from the lowest row, the centre of the first pixel is 1.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal
from xml.etree import ElementTree

from hapctl.processing.imaging.grid import OutputGrid
from hapctl.processing.imaging.pivot_wavelengths import spectral_band

Colour = Literal["Red", "Orange", "Yellow", "Green", "Cyan", "Blue", "Grayscale"]

_NAMESPACES = {
    "x": "adobe:ns:meta/",
    "rdf": "http://www.w3.org/1999/02/22-rdf-syntax-ns#",
    "avm": "http://www.communicatingastronomy.org/avm/1.0/",
    "dc": "http://purl.org/dc/elements/1.1/",
    "photoshop": "http://ns.adobe.com/photoshop/1.0/",
}
_UNKNOWN = "-"
"""AVM's way to keep a place in an ordered list."""


@dataclass(frozen=True)
class ShownFilter:
    """One filter in a picture; ``nanometres`` is 0 and ``started`` (ISO 8601) empty where not known."""

    instrument: str
    detector: str
    filter: str
    nanometres: float
    colour: Colour
    started: str
    exposure_time: float
    dataset: str


@dataclass(frozen=True)
class PictureTags:
    """What is said of a picture.

    Attributes
    ----------
    identifier, title, description : str
    grid : OutputGrid
        Of the picture.
    filters : tuple of ShownFilter
        From short to long wavelength.
    proposals : tuple of str
    targets : tuple of str
    software : str
    """

    identifier: str
    title: str
    description: str
    grid: OutputGrid
    filters: tuple[ShownFilter, ...]
    proposals: tuple[str, ...]
    targets: tuple[str, ...]
    software: str


def colours_of(number: int) -> tuple[Colour, ...]:
    """Return how filters are shown, from short to long wavelength; one filter is grey."""
    if number == 1:
        return ("Grayscale",)
    ladder: tuple[Colour, ...] = ("Blue", "Cyan", "Green", "Yellow", "Orange", "Red")
    if number == 3:
        return ("Blue", "Green", "Red")
    return tuple(ladder[round(place * (len(ladder) - 1) / (number - 1))] for place in range(number))


def xmp_packet(tags: PictureTags) -> str:
    """Return the XMP packet of a picture, ready for the ``XML:com.adobe.xmp`` chunk of a PNG.

    Examples
    --------
    A reader in Python: ``pyavm.AVM.from_image("picture.png").to_wcs()``.
    """
    for prefix, address in _NAMESPACES.items():
        ElementTree.register_namespace(prefix, address)
    root = ElementTree.Element(_name("x:xmpmeta"))
    rdf = ElementTree.SubElement(root, _name("rdf:RDF"))
    description = ElementTree.SubElement(rdf, _name("rdf:Description"), {_name("rdf:about"): ""})
    for name, value in (*_content(tags), *_observation(tags), *_place(tags.grid)):
        _add(description, name, value)
    text = ElementTree.tostring(root, encoding="unicode")
    return f'<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>{text}<?xpacket end="r"?>'


_Tag = tuple[str, str | Sequence[str]]


def _content(tags: PictureTags) -> list[_Tag]:
    return [
        ("avm:MetadataVersion", "1.2"),
        ("avm:ID", tags.identifier),
        ("avm:Type", "Observation"),
        ("photoshop:Source", tags.software),
        ("dc:title", ("Alt", tags.title)),
        ("dc:description", ("Alt", tags.description)),
        ("dc:subject", ("Bag", *tags.targets)),
        ("avm:ProposalID", ("Bag", *tags.proposals)),
    ]


def _observation(tags: PictureTags) -> list[_Tag]:
    shown = tags.filters
    return [
        ("avm:Facility", ("Seq", *("HST" for _ in shown))),
        ("avm:Instrument", ("Seq", *(f"{one.instrument}/{one.detector}" for one in shown))),
        ("avm:Spectral.ColorAssignment", ("Seq", *(one.colour for one in shown))),
        ("avm:Spectral.Band", ("Seq", *(_known(one, spectral_band(one.nanometres)) for one in shown))),
        ("avm:Spectral.Bandpass", ("Seq", *(one.filter for one in shown))),
        ("avm:Spectral.CentralWavelength", ("Seq", *(_known(one, f"{one.nanometres:.1f}") for one in shown))),
        ("avm:Temporal.StartTime", ("Seq", *(one.started[:19] or _UNKNOWN for one in shown))),
        ("avm:Temporal.IntegrationTime", ("Seq", *(f"{one.exposure_time:g}" for one in shown))),
        ("avm:DatasetID", ("Seq", *(one.dataset for one in shown))),
    ]


def _known(shown: ShownFilter, text: str) -> str:
    return text if shown.nanometres > 0 else _UNKNOWN


def _place(grid: OutputGrid) -> list[_Tag]:
    """North and east of a picture: Scale is CDELT, Rotation CROTA2, as PyAVM and AVM's examples have them."""
    cd11, cd12, cd21, cd22 = grid.cd
    scale = math.hypot(cd12, cd22)
    side = math.copysign(math.hypot(cd11, cd21), cd11 * cd22 - cd12 * cd21)
    rows, columns = grid.shape
    return [
        ("avm:Spatial.CoordinateFrame", "ICRS"),
        ("avm:Spatial.Equinox", "J2000"),
        ("avm:Spatial.ReferenceValue", _numbers(*grid.crval)),
        ("avm:Spatial.ReferenceDimension", _numbers(columns, rows)),
        ("avm:Spatial.ReferencePixel", _numbers(*grid.crpix)),
        ("avm:Spatial.Scale", _numbers(side, scale)),
        ("avm:Spatial.Rotation", repr(math.degrees(math.atan2(-cd12, cd22)) + 0.0)),
        ("avm:Spatial.CoordsystemProjection", "TAN"),
        ("avm:Spatial.Quality", "Full"),
    ]


def _numbers(*values: float) -> tuple[str, ...]:
    return ("Seq", *(repr(float(value)) for value in values))


def _add(description: ElementTree.Element, name: str, value: str | Sequence[str]) -> None:
    if isinstance(value, str):
        ElementTree.SubElement(description, _name(name)).text = value
        return
    kind, *items = value
    if not items:
        return
    box = ElementTree.SubElement(ElementTree.SubElement(description, _name(name)), _name(f"rdf:{kind}"))
    for item in items:
        entry = ElementTree.SubElement(box, _name("rdf:li"))
        entry.text = item
        if kind == "Alt":
            entry.set("{http://www.w3.org/XML/1998/namespace}lang", "x-default")


def _name(name: str) -> str:
    prefix, _, local = name.partition(":")
    return f"{{{_NAMESPACES[prefix]}}}{local}"
