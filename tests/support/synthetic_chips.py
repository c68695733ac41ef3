"""Chips made up for tests: strong distortion of every kind, anywhere on the sky."""

from dataclasses import replace

import numpy as np
from hapctl.processing.astrometry.solution import ChipWcs, LookupTable


def plain_chip(
    shape: tuple[int, int] = (40, 50),
    crval: tuple[float, float] = (150.0, 2.0),
    scale_arcsec: float = 0.05,
    angle_deg: float = 0.0,
) -> ChipWcs:
    """A TAN chip without distortion, north up at angle 0, its reference pixel in its middle."""
    step = scale_arcsec / 3600.0
    cosine, sine = np.cos(np.radians(angle_deg)), np.sin(np.radians(angle_deg))
    return ChipWcs(
        extver=1,
        chip=1,
        shape=shape,
        crpix=((shape[1] + 1) / 2, (shape[0] + 1) / 2),
        crval=crval,
        cd=(-step * cosine, step * sine, step * sine, step * cosine),
        idcscale=scale_arcsec,
    )


def table(seed: int, nodes: tuple[int, int], step: float, size: float = 0.1) -> LookupTable:
    """A table as HST writes them: CRPIX and CRVAL 0, random values."""
    values = np.random.default_rng(seed).uniform(-size, size, nodes).astype(np.float32)
    return LookupTable(values, (0.0, 0.0), (0.0, 0.0), (step, step))


def distorted_chip(
    shape: tuple[int, int] = (200, 300),
    crval: tuple[float, float] = (150.0, 2.0),
    scale_arcsec: float = 0.05,
    angle_deg: float = 33.0,
) -> ChipWcs:
    """A chip with SIP of order 4, NPOL and D2IM tables, some 2 % of distortion."""
    rng = np.random.default_rng(7)
    p, q = np.meshgrid(np.arange(5), np.arange(5), indexing="ij")
    reach = max(shape) / 2.0
    size = np.where((p + q >= 2) & (p + q <= 4), 0.01 / reach ** (p + q - 1.0), 0.0)
    step = 16.0 if reach < 1000.0 else 64.0
    nodes = shape[0] // int(step) + 1, shape[1] // int(step) + 1
    return replace(
        plain_chip(shape, crval, scale_arcsec, angle_deg),
        ctype=("RA---TAN-SIP", "DEC--TAN-SIP"),
        sip_a=size * rng.uniform(-1, 1, size.shape),
        sip_b=size * rng.uniform(-1, 1, size.shape),
        npol=(table(1, nodes, step), table(2, nodes, step)),
        d2im=(table(3, nodes, step), table(4, nodes, step)),
    )
