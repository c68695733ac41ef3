"""A polariser has a distortion of its own: the row of the IDCTAB is the one of both wheels."""

from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from hapctl.processing.astrometry.reading import read_solutions
from hapctl.processing.astrometry.wcs_update import update_wcs
from support.data import data_file, data_root

IDCTAB = "acs_wfc_reference/0461802ej_idc.fits"


def second_order(detector_chip: int, wheels: tuple[str, str]) -> np.ndarray:
    """(A_2_0, B_2_0) of a row: its terms in x squared, in pixels, by the inverse of its linear terms."""
    table = fits.getdata(data_file(IDCTAB), 1)
    (row,) = [
        one
        for one in table
        if one["DETCHIP"] == detector_chip
        and one["DIRECTION"].strip() == "FORWARD"
        and (one["FILTER1"].strip(), one["FILTER2"].strip()) == wheels
    ]
    linear = np.array([[row["CX11"], row["CX10"]], [row["CY11"], row["CY10"]]])
    return np.linalg.solve(linear, [row["CX22"], row["CY22"]])


@pytest.mark.parametrize(("second", "other"), [("POL120V", "CLEAR2L"), ("CLEAR2L", "POL0V")])
def test_the_row_of_both_wheels_is_used(tmp_path: Path, second: str, other: str) -> None:
    wheels = ("F606W", second)
    path, out = tmp_path / "j94f05bgq_flt.fits", tmp_path / "out.fits"
    with fits.open(data_file("acs_wfc_reference/j94f05bgq_flt.fits.gz")) as hdus:
        hdus[0].header.update(dict(zip(("FILTER1", "FILTER2"), wheels, strict=True)))
        hdus[0].header["IDCTAB"] = "jref$0461802ej_idc.fits"
        hdus[0].header["NPOLFILE"] = hdus[0].header["D2IMFILE"] = "N/A"
        hdus.writeto(path, output_verify="silentfix")
    update_wcs(path, out, [data_root() / "acs_wfc_reference"])
    for chip in read_solutions(out)[0].solution.chips:
        assert chip.sip_a is not None
        assert chip.sip_b is not None
        ours = np.array([chip.sip_a[2, 0], chip.sip_b[2, 0]])
        expected = second_order(chip.chip, wheels)
        np.testing.assert_allclose(ours, expected, rtol=2e-3, atol=3e-10)
        another = second_order(chip.chip, ("F606W", other))
        assert np.abs(another - expected).max() > 20.0 * np.abs(ours - expected).max()
