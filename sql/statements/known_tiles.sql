SELECT sky_cell_id FROM sky_cell WHERE sky_cell_id = ANY(CAST(:ids AS integer[]))
