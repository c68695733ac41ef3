-- Every unit of work and its state. A worker holds a database session while it works: where that is gone and no
-- end was written, the unit was abandoned; so were those not begun, where the command that hands them out is gone.
CREATE OR REPLACE VIEW work_unit_status AS
SELECT u.batch_id, u.number, u.name, u.action, u.target,
       CASE
           WHEN e.number IS NOT NULL THEN e.status
           WHEN s.number IS NOT NULL THEN
               CASE WHEN run_is_alive(s.backend_pid, s.backend_start) THEN 'running' ELSE 'abandoned' END
           WHEN d.run_id IS NULL AND run_is_alive(r.backend_pid, r.backend_start) THEN 'waiting'
           ELSE 'abandoned'
       END AS state,
       s.host, s.pid, s.started, e.ended,
       coalesce(e.seconds, extract(epoch FROM clock_timestamp() - s.started)::double precision) AS seconds,
       u.seconds AS predicted_seconds, coalesce(s.memory_bytes, u.memory_bytes) AS predicted_memory_bytes, e.peak_memory_bytes,
       coalesce(s.tries, 0) AS tries, e.exit_code, e.message, e.remedy, e.runs
FROM work_unit u
JOIN work_batch b USING (batch_id)
JOIN run r USING (run_id)
LEFT JOIN run_end d USING (run_id)
LEFT JOIN LATERAL (
    SELECT t.*, count(*) OVER () AS tries
    FROM work_unit_start t
    WHERE t.batch_id = u.batch_id AND t.number = u.number
    ORDER BY t.work_unit_start_id DESC
    LIMIT 1
) s ON true
LEFT JOIN work_unit_end e ON e.batch_id = u.batch_id AND e.number = u.number;

COMMENT ON VIEW work_unit_status IS
    'Every unit of a batch: waiting, running (where), done, unchanged, refused, failed, skipped or abandoned.';

-- Every batch with the number of its units by state.
CREATE OR REPLACE VIEW work_batch_status AS
SELECT b.batch_id, b.command, b.workers, b.scheduler, b.run_id, s.started, s.ended, s.outcome, s.host, s.operator,
       c.units, c.waiting, c.running, c.done, c.unchanged, c.refused, c.failed, c.skipped, c.abandoned
FROM work_batch b
JOIN run_status s USING (run_id)
CROSS JOIN LATERAL (
    SELECT count(*) AS units,
           count(*) FILTER (WHERE u.state = 'waiting') AS waiting,
           count(*) FILTER (WHERE u.state = 'running') AS running,
           count(*) FILTER (WHERE u.state = 'done') AS done,
           count(*) FILTER (WHERE u.state = 'unchanged') AS unchanged,
           count(*) FILTER (WHERE u.state = 'refused') AS refused,
           count(*) FILTER (WHERE u.state = 'failed') AS failed,
           count(*) FILTER (WHERE u.state = 'skipped') AS skipped,
           count(*) FILTER (WHERE u.state = 'abandoned') AS abandoned
    FROM work_unit_status u
    WHERE u.batch_id = b.batch_id
) c;

COMMENT ON VIEW work_batch_status IS 'Every batch: its run, and how many of its units are in which state.';
