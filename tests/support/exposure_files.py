"""Small HST-like exposure files for tests: complete headers, tiny pixels, any solutions asked for."""

import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from astropy.io import fits
from hapctl.processing.astrometry.solution import ChipWcs, LookupTable, WcsSolution

PRIMARY: dict[str, Any] = {
    **{
        "TELESCOP": "HST",
        "INSTRUME": "ACS",
        "DETECTOR": "WFC",
        "FILETYPE": "SCI",
        "DATE": "2020-01-01T00:00:00",
    },
    **{"FILTER1": "F606W", "FILTER2": "CLEAR2L", "EXPTIME": 120.0, "EXPSTART": 55000.0, "EXPEND": 55000.002},
    **{"OBSTYPE": "IMAGING", "IMAGETYP": "EXT", "TARGNAME": "FIELD", "PROPOSID": 12345, "MTFLAG": " "},
    **{"FGSLOCK": "FINE", "APERTURE": "WFC", "RA_TARG": 10.0, "DEC_TARG": 20.0, "PA_V3": 30.0},
    **{"IDCTAB": "jref$0461802ej_idc.fits"},
}


def lookup_table(seed: int, step: float = 64.0) -> LookupTable:
    """A lookup table like those of ACS: 65 x 33 nodes, smooth corrections of up to 0.06 pixel."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:1:33j, 0:1:65j]
    values = sum(
        rng.uniform(-0.02, 0.02) * np.cos(2.0 * np.pi * (p * x + q * y) + rng.uniform(0.0, 6.0))
        for p, q in ((1, 0), (0, 1), (2, 1))
    )
    return LookupTable(np.asarray(values, dtype=np.float32), (0.0, 0.0), (0.0, 0.0), (step, step))


def two_chip_solution(
    rootname: str,
    position: tuple[float, float] = (150.0, 2.2),
    *,
    angle: float = 33.0,
    binning: int = 8,
    name: str = "IDC_0461802ej",
    tables: bool = True,
) -> WcsSolution:
    """A solution like those of ACS/WFC: two chips, one above the other, with a gap of 50 pixels.

    Binning keeps the field and makes the files small.
    """
    shape = (2048 // binning, 4096 // binning)
    scale, theta = 0.05 * binning / 3600.0, np.radians(angle)
    cd = (-scale * np.cos(theta), scale * np.sin(theta), scale * np.sin(theta), scale * np.cos(theta))
    sip_a, sip_b = np.zeros((5, 5)), np.zeros((5, 5))
    sip_a[2, 0], sip_a[1, 1] = 8.3e-6 * binning, -5.2e-6 * binning
    sip_b[1, 1], sip_b[0, 2] = 7.3e-6 * binning, -4.8e-6 * binning
    step = 64.0 / binning
    chips = []
    for extver, chip, offset in ((1, 2, 0.5), (2, 1, -0.5)):
        chips.append(
            ChipWcs(
                extver=extver,
                chip=chip,
                shape=shape,
                crpix=(shape[1] / 2, shape[0] / 2 + offset * (2048 + 50) / binning),
                crval=position,
                cd=tuple(float(value) for value in cd),  # type: ignore[arg-type]
                ctype=("RA---TAN-SIP", "DEC--TAN-SIP"),
                sip_a=sip_a,
                sip_b=sip_b,
                npol=(lookup_table(extver, step), lookup_table(extver + 10, step))
                if tables
                else (None, None),
                d2im=(lookup_table(5, step), None) if tables else (None, None),
                idcscale=0.05 * binning,
            )
        )
    return WcsSolution(rootname, name, tuple(chips), {"IDCTAB": "jref$0461802ej_idc.fits"})


def exposure_file(
    solution: WcsSolution,
    *,
    suffix: str = "flc",
    primary: Mapping[str, Any] | None = None,
    headerlets: Sequence[bytes] = (),
    opus: bool = True,
    fill: float = 1.0,
) -> bytes:
    """A file with that solution as primary WCS, OPUS as alternate O, and headerlets; constant pixels."""
    names = {"ROOTNAME": solution.rootname, "FILENAME": f"{solution.rootname}_{suffix}.fits"}
    hdus = fits.HDUList([fits.PrimaryHDU(header=fits.Header({**PRIMARY, **names, **(primary or {})}))])
    version = {"WCSDVARR": 0, "D2IMARR": 0}
    tables: list[fits.ImageHDU] = []
    for chip in solution.chips:
        header = fits.Header(
            {"EXTNAME": "SCI", "EXTVER": chip.extver, "CCDCHIP": chip.chip, "BUNIT": "ELECTRONS"}
        )
        header.update(_wcs_cards(solution, chip, opus))
        tables += _tables(chip, header, version)
        hdus.append(fits.ImageHDU(np.full(chip.shape, fill, dtype=np.float32), header))
    hdus.extend(tables)
    content = io.BytesIO()
    hdus.writeto(content)
    return content.getvalue() + b"".join(hdrlet(bytes_, n) for n, bytes_ in enumerate(headerlets, start=1))


def _wcs_cards(solution: WcsSolution, chip: ChipWcs, opus: bool) -> dict[str, Any]:
    cards: dict[str, Any] = {"WCSNAME": solution.name, "IDCSCALE": chip.idcscale, "RADESYS": "ICRS"}
    for key, suffix in (("", "-SIP"), ("O", "")) if opus else (("", "-SIP"),):
        cards |= {f"CTYPE1{key}": f"RA---TAN{suffix}", f"CTYPE2{key}": f"DEC--TAN{suffix}"}
        cards |= {f"CRPIX{i}{key}": chip.crpix[i - 1] for i in (1, 2)}
        cards |= {f"CRVAL{i}{key}": chip.crval[i - 1] for i in (1, 2)}
        cards |= {
            f"CD{n}{key}": value for n, value in zip(("1_1", "1_2", "2_1", "2_2"), chip.cd, strict=True)
        }
    if opus:
        cards["WCSNAMEO"] = "OPUS"
    for axis, coefficients in (("A", chip.sip_a), ("B", chip.sip_b)):
        if coefficients is not None:
            cards[f"{axis}_ORDER"] = len(coefficients) - 1
            cards |= {
                f"{axis}_{p}_{q}": coefficients[p, q] for p, q in zip(*np.nonzero(coefficients), strict=True)
            }
    return {key: value for key, value in cards.items() if value is not None}


def _tables(chip: ChipWcs, header: fits.Header, version: dict[str, int]) -> list[fits.ImageHDU]:
    hdus = []
    for pair, name, kind, record in (
        (chip.npol, "WCSDVARR", "CPDIS", "DP"),
        (chip.d2im, "D2IMARR", "D2IMDIS", "D2IM"),
    ):
        for axis, table in enumerate(pair, start=1):
            if table is None:
                continue
            version[name] += 1
            header[f"{kind}{axis}"] = "LOOKUP"
            for field in (f"EXTVER: {version[name]}", "NAXES: 2", "AXIS.1: 1", "AXIS.2: 2"):
                header.append((f"{record}{axis}", field), bottom=True)
            cards = {"EXTNAME": name, "EXTVER": version[name]}
            for keyword, values in (("CRPIX", table.crpix), ("CRVAL", table.crval), ("CDELT", table.cdelt)):
                cards |= {f"{keyword}{i}": values[i - 1] for i in (1, 2)}
            hdus.append(fits.ImageHDU(table.values, fits.Header(cards)))
    return hdus


def hdrlet(content: bytes, extver: int) -> bytes:
    """Wrap a headerlet as the HDRLET extension stwcs attaches to a science file."""
    cards = [
        "XTENSION= 'HDRLET  '",
        f"BITPIX  = {8:>20}",
        f"NAXIS   = {1:>20}",
        f"NAXIS1  = {len(content):>20}",
        f"PCOUNT  = {0:>20}",
        f"GCOUNT  = {1:>20}",
        "EXTNAME = 'HDRLET  '",
        f"EXTVER  = {extver:>20}",
        "END",
    ]
    header = "".join(card.ljust(80) for card in cards).encode()
    return b"".join(part + b"\0" * (-len(part) % 2880) for part in (header.ljust(2880), content))
