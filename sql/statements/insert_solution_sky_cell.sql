INSERT INTO solution_sky_cell (solution_id, sky_cell_id, fraction) VALUES (:solution_id, :sky_cell_id, :fraction)
