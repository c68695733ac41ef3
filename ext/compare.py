"""The kernels of the comparison in the build that suits this CPU; what they do is told in ``compare.pxi``."""

from hapctl.ext.cpu import choose

build = choose("compare")
combine = build.combine
take_lowest = build.take_lowest
derivative = build.derivative
find_hits = build.find_hits
