-- How a unit ended, with the runs of its process since it began; the first end of a unit counts.
INSERT INTO work_unit_end (batch_id, number, status, exit_code, message, remedy, runs, seconds, peak_memory_bytes)
SELECT :batch_id, :number, :status, :exit_code, :message, :remedy,
       coalesce((SELECT array_agg(run_id ORDER BY run_id) FROM run
                 WHERE run_id > CAST(:newest_run AS bigint) AND host = :host AND pid = :pid), '{}'),
       :seconds, :peak_memory_bytes
ON CONFLICT (batch_id, number) DO NOTHING
RETURNING runs
