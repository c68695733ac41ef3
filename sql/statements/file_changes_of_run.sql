-- What a run changed and nobody has undone, the last change first.
SELECT c.file_change_id, c.path, c.description, c.before_sha256, c.after_sha256, c.undo, c.run_id
FROM file_change c
WHERE c.run_id = :run_id
  AND NOT EXISTS (SELECT FROM file_change_undone u WHERE u.file_change_id = c.file_change_id)
ORDER BY c.file_change_id DESC
