"""The cameras that can be simulated, by detector."""

from hapctl.processing.simulation.acs_wfc import ACS_WFC
from hapctl.processing.simulation.camera import Camera
from hapctl.processing.simulation.wfc3_ir import WFC3_IR
from hapctl.processing.simulation.wfc3_uvis import WFC3_UVIS

CAMERAS: dict[str, tuple[Camera, ...]] = {
    "WFC": (ACS_WFC,),
    "UVIS": (WFC3_UVIS,),
    "IR": (WFC3_IR,),
    "BOTH": (WFC3_UVIS, WFC3_IR),
}
"""Detectors of a visit: of one camera, or both of WFC3."""

DEFAULT_FILTERS: dict[str, tuple[str, ...]] = {
    "WFC": ("F606W", "F814W"),
    "UVIS": ("F606W", "F814W"),
    "IR": ("F125W", "F160W"),
    "BOTH": ("F606W", "F814W", "F160W"),
}

DEFAULT_VISIT = {"WFC": "jhap01", "UVIS": "ihap01", "IR": "ihap01", "BOTH": "ihap01"}
