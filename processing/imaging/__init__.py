"""Output grids, masks, sky, cosmic rays, drizzle, products and previews."""
