INSERT INTO recall_release (recall_id, reason, run_id) VALUES (:recall_id, :reason, :run_id)
