"""The search of a chip in the build that suits this CPU; what it does is told in ``finding.pxi``."""

from hapctl.ext.cpu import choose

build = choose("finding")
mesh_samples = build.mesh_samples
mesh_levels = build.mesh_levels
searched = build.searched
