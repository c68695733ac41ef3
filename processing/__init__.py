"""Science (arrays, WCS objects and tables in and out) and the pipelines built from it."""
