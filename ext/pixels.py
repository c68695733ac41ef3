"""The reading of pixels in the build that suits this CPU; what it does is told in ``pixels.pxi``."""

from hapctl.ext.cpu import choose

build = choose("pixels")
values_and_weights = build.values_and_weights
variances_of_errors = build.variances_of_errors
