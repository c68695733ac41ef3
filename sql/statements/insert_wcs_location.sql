INSERT INTO wcs_location (solution_id, file_id, place, key, run_id)
VALUES (:solution_id, :file_id, :place, :key, :run_id)
ON CONFLICT DO NOTHING
