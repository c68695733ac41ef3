-- A worker begins a unit, with the session that stands for its life; returns the newest run of all before.
INSERT INTO work_unit_start (batch_id, number, host, pid, backend_pid, backend_start, memory_bytes)
SELECT :batch_id, :number, :host, :pid, a.pid, a.backend_start, :memory_bytes
FROM pg_stat_activity a
WHERE a.pid = pg_backend_pid()
RETURNING (SELECT coalesce(max(run_id), 0) FROM run)
