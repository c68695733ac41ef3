-- Every run with its end; a run without an end whose database session is gone was abandoned.
CREATE OR REPLACE VIEW run_status AS
SELECT r.run_id, r.command, r.arguments, r.started, e.ended, e.ended - r.started AS took,
       CASE
           WHEN e.run_id IS NOT NULL THEN e.outcome
           WHEN run_is_alive(r.backend_pid, r.backend_start) THEN 'running'
           ELSE 'abandoned'
       END AS outcome,
       e.exit_code, e.message, e.peak_memory_bytes, r.hapctl_version, r.host, r.operator
FROM run r
LEFT JOIN run_end e USING (run_id);

COMMENT ON VIEW run_status IS 'Every run, how it ended, or whether it is running or was abandoned.';
