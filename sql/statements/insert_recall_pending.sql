INSERT INTO recall_pending (recall_id, moves, run_id) VALUES (:recall_id, CAST(:moves AS jsonb), :run_id)
