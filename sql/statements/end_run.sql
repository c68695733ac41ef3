INSERT INTO run_end (run_id, outcome, exit_code, message, peak_memory_bytes, summary)
VALUES (:run_id, :outcome, :exit_code, :message, :peak_memory_bytes, CAST(:summary AS jsonb))
