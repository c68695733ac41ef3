INSERT INTO projection_cell (projection_cell, ra, dec) VALUES (:projection_cell, :ra, :dec) ON CONFLICT DO NOTHING
