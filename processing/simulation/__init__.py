"""Synthetic visits with a known truth."""
