WITH root AS (
    INSERT INTO archive_root (run_id) VALUES (:run_id) RETURNING root_id
)
INSERT INTO archive_root_path (root_id, path, run_id)
SELECT root_id, :path, :run_id FROM root
RETURNING root_id
