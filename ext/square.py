"""The square kernel in the build that suits this CPU; what it does is told in ``square.pxi``."""

from hapctl.ext.cpu import choose

build = choose("square")
add_pixels = build.add_pixels
finish = build.finish
finish_variances = build.finish_variances
quad_shares = build.quad_shares
