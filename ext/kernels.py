"""The drizzle kernels but the square one, in the build that suits this CPU; told in ``kernels.pxi``."""

from hapctl.ext.cpu import choose

build = choose("kernels")
KINDS = build.KINDS
add_pixels = build.add_pixels
reach = build.reach
