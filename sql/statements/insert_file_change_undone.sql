INSERT INTO file_change_undone (file_change_id, outcome, run_id)
VALUES (:file_change_id, :outcome, :run_id)
ON CONFLICT DO NOTHING
