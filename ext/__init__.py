"""Compiled kernels over arrays: no Python objects in the loops, no global state."""
