INSERT INTO file_change (path, description, before_sha256, after_sha256, undo, run_id)
VALUES (:path, :description, :before_sha256, :after_sha256, :undo, :run_id)
