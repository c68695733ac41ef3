INSERT INTO archive_root_path (root_id, path, run_id) VALUES (:root_id, :path, :run_id)
