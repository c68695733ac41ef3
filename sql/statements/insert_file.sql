-- A content of a file, in force, and where it lies.
WITH file AS (
    INSERT INTO exposure_file (
        exposure_id, suffix, sha256, size_bytes, fits_date, headerlets, primary_header, run_id
    )
    VALUES (
        :exposure_id, :suffix, :sha256, :size_bytes, :fits_date, :headerlets, CAST(:primary_header AS jsonb), :run_id
    )
    RETURNING file_id
),
current AS (
    INSERT INTO exposure_file_current (exposure_id, suffix, file_id, run_id)
    SELECT :exposure_id, :suffix, file_id, :run_id FROM file
),
place AS (
    INSERT INTO file_location (file_id, root_id, path, size_bytes, mtime_ns, run_id)
    SELECT file_id, :root_id, :path, :size_bytes, :mtime_ns, :run_id FROM file
)
SELECT file_id FROM file
