"""WCS solutions, names, headerlets, source finding, matching and fitting."""
