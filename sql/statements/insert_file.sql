INSERT INTO exposure_file (exposure_id, suffix, sha256, size_bytes, fits_date, headerlets, primary_header, run_id)
VALUES (:exposure_id, :suffix, :sha256, :size_bytes, :fits_date, :headerlets, CAST(:primary_header AS jsonb), :run_id)
RETURNING file_id
