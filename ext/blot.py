"""The blot kernels in the build that suits this CPU; what they do is told in ``blot.pxi``."""

from hapctl.ext.cpu import choose

build = choose("blot")
blot_rows = build.blot_rows
interpolate = build.interpolate
