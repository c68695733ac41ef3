"""WCS header cards and lookup tables in HST's form, and astropy WCS objects made of them.

Files carry the tables as stwcs writes them (CRPIX 0, node 0 at pixel 1). astropy reads such tables one
node off, so the WCS objects made here get tables whose CRPIX has been raised by ``1 - 1 / CDELT``: by
astropy alone, and by nothing of hapctl's own mapping, stars are placed and solutions are judged.
"""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from hapctl.processing.simulation.camera import TABLE_STEP, Camera, ChipOptics, lookup_values
from hapctl.processing.simulation.pointing import LinearWcs, Pointing, chip_wcs
from numpy.typing import NDArray

if TYPE_CHECKING:
    from astropy.io.fits import HDUList, Header, ImageHDU
    from astropy.wcs import WCS

SIP_ORDER = 4
NO_FILE, NO_MODEL = "N/A", "NOMODEL"


@dataclass(frozen=True)
class DistortedWcs:
    """What the WCS of an exposure is made of, ready for its file.

    Attributes
    ----------
    chip_headers : tuple of Header
        The WCS cards of each SCI extension, in order of extver.
    tables : tuple of ImageHDU
        D2IMARR and WCSDVARR extensions.
    primary_cards : dict
        Keywords of the primary header (IDCTAB, NPOLFILE, D2IMFILE, DISTNAME, SIPNAME, versions).
    """

    chip_headers: tuple["Header", ...]
    tables: tuple["ImageHDU", ...]
    primary_cards: dict[str, str]


def chip_centres(camera: Camera, chip_shape: tuple[int, int]) -> tuple[tuple[float, float], ...]:
    """Reference pixels of the chips in the distortion frame (arcsec, origin at the field centre)."""
    if len(camera.chips) == 1:
        return ((0.0, 0.0),)
    lower, upper = camera.chips
    half = chip_shape[0] / 2
    top, bottom = frame_offset(lower, 0.0, half), frame_offset(upper, 0.0, -half)
    separation = top - bottom + np.array([0.0, camera.gap_arcsec])
    x, y = separation / 2
    return (-float(x), -float(y)), (float(x), float(y))


def frame_offset(chip: ChipOptics, u: float, v: float) -> NDArray[np.float64]:
    """The distortion-frame offset (arcsec) of a pixel offset (u, v) from the chip's reference pixel."""
    terms = [sum(c * u**p * v**q for p, q, c in sip) for sip in (chip.sip_a, chip.sip_b)]
    return chip.linear_matrix @ (np.array([u, v]) + np.array(terms))


def own_distorted_wcs(
    camera: Camera,
    rootname: str,
    pointing: Pointing,
    va_factor: float,
    chip_shape: tuple[int, int],
    filter_name: str,
) -> DistortedWcs:
    """The WCS of an exposure under the simulator's own distortion model.

    Parameters
    ----------
    camera : Camera
        Whose distortion.
    rootname : str
        ipppssoot, for SIPNAME and DISTNAME.
    pointing : Pointing
        What the header claims.
    va_factor : float
        VAFACTOR of the exposure.
    chip_shape : tuple of int
        (ny, nx).
    filter_name : str
        NPOL tables differ by filter.
    """
    field = camera_frame(camera, pointing)
    headers = []
    for chip, centre in zip(camera.chips, chip_centres(camera, chip_shape), strict=True):
        linear = chip_wcs(field, centre, chip.linear_matrix, va_factor)
        opus = chip_wcs(field, centre, chip.linear_matrix, 1.0)
        headers.append(_chip_header(camera, chip, chip_shape, linear, opus, filter_name))
    tables = _tables(camera, chip_shape, filter_name) if camera.has_tables else []
    return DistortedWcs(tuple(headers), tuple(tables), _primary_cards(camera, rootname, filter_name))


def camera_frame(camera: Camera, pointing: Pointing) -> Pointing:
    """A pointing of the telescope as one whose frame angle is that of the camera's y axis."""
    return replace(pointing, pa_v3=(pointing.pa_v3 + (camera.axis_angle - 180.0)) % 360.0)


def _primary_cards(camera: Camera, rootname: str, filter_name: str) -> dict[str, str]:
    npol = camera.npol_root(filter_name) if camera.has_tables else NO_MODEL
    d2im = camera.d2im_root or NO_MODEL
    sip_name = f"{rootname}_{camera.model}"
    files = {"NPOLFILE": f"{npol}_npl.fits", "D2IMFILE": f"{d2im}_d2i.fits"}
    return {
        "IDCTAB": f"{camera.model_prefix}{camera.model}_idc.fits",
        **{key: camera.model_prefix + name if camera.has_tables else NO_FILE for key, name in files.items()},
        "SIPNAME": sip_name,
        "DISTNAME": f"{sip_name}-{npol}-{d2im}",
        # As in delivered files: updatewcs vouches for scale and distortion.
        "UPWCSVER": "1.7.4",
    }


def _chip_header(
    camera: Camera,
    chip: ChipOptics,
    chip_shape: tuple[int, int],
    linear: LinearWcs,
    opus: LinearWcs,
    filter_name: str,
) -> "Header":
    from astropy.io.fits import Header

    header = Header()
    crpix = (chip_shape[1] / 2.0, chip_shape[0] / 2.0)
    header["WCSAXES"] = (2, "number of World Coordinate System axes")
    linear_cards(header, "", crpix, linear, "-SIP")
    header["RADESYS"] = ("ICRS", "celestial reference system")
    header["ORIENTAT"] = (orientation(linear.cd), "position angle of image y axis (deg. e of n)")
    _model_cards(header, camera, chip, crpix)
    _sip_cards(header, chip)
    if camera.has_tables:
        _lookup_cards(header, "D2IMDIS", "D2IM", "D2IMERR", chip.extver, chip.d2im_amplitude)
        header["D2IMEXT"] = f"{camera.model_prefix}{camera.d2im_root}_d2i.fits"
        _lookup_cards(header, "CPDIS", "DP", "CPERR", chip.extver, chip.npol_amplitude)
        header["NPOLEXT"] = f"{camera.model_prefix}{camera.npol_root(filter_name)}_npl.fits"
    header["WCSNAME"] = (f"IDC_{camera.model}", "name of this coordinate system")
    header["WCSTYPE"] = "undistorted not aligned"
    header["WCSNAMEO"] = ("OPUS", "name of this coordinate system")
    header["WCSAXESO"] = (2, "number of World Coordinate System axes")
    linear_cards(header, "O", crpix, opus, "")
    header["RADESYSO"] = "ICRS"
    header["WCSTYPEO"] = "pipeline default not aligned"
    return header


def linear_cards(
    header: "Header", key: str, crpix: tuple[float, float], linear: LinearWcs, projection: str
) -> None:
    """Add CRPIX, CRVAL, CTYPE, CUNIT and CD under an alternate key, with a projection suffix (``-SIP``)."""
    for axis, (name, unit) in enumerate((("RA---TAN", "deg"), ("DEC--TAN", "deg")), start=1):
        header[f"CRPIX{axis}{key}"] = (crpix[axis - 1], "reference pixel")
        header[f"CRVAL{axis}{key}"] = (linear.crval[axis - 1], "[deg] position of the reference pixel")
        header[f"CTYPE{axis}{key}"] = (name + projection, "axis type")
        header[f"CUNIT{axis}{key}"] = unit
    for i in (1, 2):
        for j in (1, 2):
            header[f"CD{i}_{j}{key}"] = (float(linear.cd[i - 1, j - 1]), "[deg/pixel]")


def _model_cards(header: "Header", camera: Camera, chip: ChipOptics, crpix: tuple[float, float]) -> None:
    x_per_x, y_per_x, x_per_y, y_per_y = chip.linear
    header["OCX10"] = (x_per_y, "linear term of the distortion model")
    header["OCX11"] = (x_per_x, "linear term of the distortion model")
    header["OCY10"] = (y_per_y, "linear term of the distortion model")
    header["OCY11"] = (y_per_x, "linear term of the distortion model")
    header["IDCSCALE"] = (camera.plate_scale, "plate scale of the distortion model, arcsec")
    header["IDCTHETA"] = (camera.idc_theta, "orientation of detector's y axis w.r.t. V3 axis")
    header["IDCXREF"], header["IDCYREF"] = crpix
    header["IDCV2REF"] = (chip.v2_ref, "V2 of the reference pixel")
    header["IDCV3REF"] = (chip.v3_ref, "V3 of the reference pixel")
    header["IDCTAB"] = f"{camera.model_prefix}{camera.model}_idc.fits"


def _sip_cards(header: "Header", chip: ChipOptics) -> None:
    for letter, terms in (("A", chip.sip_a), ("B", chip.sip_b)):
        header[f"{letter}_ORDER"] = (SIP_ORDER, "SIP polynomial order")
        for p, q, value in terms:
            header[f"{letter}_{p}_{q}"] = (value, "SIP distortion coefficient")


def _lookup_cards(
    header: "Header", kind: str, record: str, error: str, extver: int, amplitude: tuple[float, float]
) -> None:
    for axis in (1, 2):
        header[f"{error}{axis}"] = (amplitude[axis - 1], "largest correction, pixels")
        header[f"{kind}{axis}"] = ("Lookup", "distortion type")
        table = 2 * (extver - 1) + axis
        for text in (f"EXTVER: {table}", "NAXES: 2", "AXIS.1: 1", "AXIS.2: 2"):
            header.append((f"{record}{axis}", text), end=True)


def _tables(camera: Camera, chip_shape: tuple[int, int], filter_name: str) -> list["ImageHDU"]:
    from astropy.io.fits import ImageHDU

    hdus = []
    for extname, kind in (("D2IMARR", "d2im"), ("WCSDVARR", "npol")):
        for chip in camera.chips:
            for axis in (0, 1):
                hdu = ImageHDU(
                    lookup_values(camera, kind, chip, axis, chip_shape, filter_name if kind == "npol" else "")
                )
                hdu.header["EXTNAME"] = (extname, "WCS distortion array")
                hdu.header["EXTVER"] = (2 * (chip.extver - 1) + axis + 1, "table number")
                for number in (1, 2):
                    hdu.header[f"CRPIX{number}"] = (0.0, "reference node")
                    hdu.header[f"CRVAL{number}"] = (0.0, "pixel of the reference node")
                    hdu.header[f"CDELT{number}"] = (float(TABLE_STEP), "pixels per node")
                hdus.append(hdu)
    return hdus


def orientation(cd: NDArray[np.float64]) -> float:
    """Position angle of the image's y axis, degrees in (-180, 180]."""
    return float(np.degrees(np.arctan2(cd[0, 1], cd[1, 1])))


def linear_wcs(header: "Header") -> LinearWcs:
    """CRVAL and CD of a header, as it has them."""
    cd = np.array([[header[f"CD{i}_{j}"] for j in (1, 2)] for i in (1, 2)], dtype=np.float64)
    return LinearWcs((float(header["CRVAL1"]), float(header["CRVAL2"])), cd)


def astropy_wcs(
    chip_header: "Header", tables: "list[ImageHDU] | HDUList", linear: LinearWcs | None = None
) -> "WCS":
    """An astropy WCS with SIP and lookup tables read as HST means them.

    Parameters
    ----------
    chip_header : Header
        Of the SCI extension, or its WCS cards alone.
    tables : list of ImageHDU or HDUList
        Anything that holds the D2IMARR and WCSDVARR extensions.
    linear : LinearWcs, optional
        CRVAL and CD to use in place of the header's (the truth).
    """
    from astropy.io.fits import HDUList, ImageHDU, PrimaryHDU
    from astropy.wcs import WCS

    header = chip_header.copy()
    if linear is not None:
        header["CRVAL1"], header["CRVAL2"] = linear.crval
        for i in (1, 2):
            for j in (1, 2):
                header[f"CD{i}_{j}"] = float(linear.cd[i - 1, j - 1])
    normalised = HDUList([PrimaryHDU()])
    for hdu in tables:
        if hdu.name in ("D2IMARR", "WCSDVARR"):
            copy = ImageHDU(hdu.data, hdu.header.copy())
            for axis in (1, 2):
                step = float(copy.header.get(f"CDELT{axis}", 1.0))
                copy.header[f"CRPIX{axis}"] = float(copy.header.get(f"CRPIX{axis}", 0.0)) + 1.0 - 1.0 / step
            normalised.append(copy)
    return WCS(header, fobj=normalised)
