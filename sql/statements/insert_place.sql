INSERT INTO file_location (file_id, root_id, path, size_bytes, mtime_ns, run_id)
VALUES (:file_id, :root_id, :path, :size_bytes, :mtime_ns, :run_id)
