INSERT INTO sky_cell (sky_cell_id, name, projection_cell, x, y)
VALUES (:sky_cell_id, :name, :projection_cell, :x, :y)
ON CONFLICT DO NOTHING
