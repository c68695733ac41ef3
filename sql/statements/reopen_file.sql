-- An older content of a file, in force again.
INSERT INTO exposure_file_current (exposure_id, suffix, file_id, run_id)
VALUES (:exposure_id, :suffix, :file_id, :run_id)
