-- How long a command took for each target of a kind, alone or as a unit of work, and its memory: the most of the
-- newest that ended well, for those that found all current are short.
WITH alone AS (
    SELECT r.parameters ->> CAST(:kind AS text) AS target, e.peak_memory_bytes,
           extract(epoch FROM e.ended - r.started)::double precision AS seconds
    FROM run r
    JOIN run_end e USING (run_id)
    WHERE r.command = :command AND e.outcome = 'done' AND r.parameters ? CAST(:kind AS text)
    ORDER BY r.started DESC
    LIMIT 5000
), together AS (
    SELECT u.target ->> CAST(:kind AS text) AS target, e.peak_memory_bytes, e.seconds
    FROM work_unit_end e
    JOIN work_unit u USING (batch_id, number)
    WHERE u.action = :command AND e.status = 'done' AND u.target ? CAST(:kind AS text)
    ORDER BY e.batch_id DESC, e.number DESC
    LIMIT 5000
)
SELECT target, max(seconds) AS seconds, max(peak_memory_bytes) AS memory_bytes
FROM (SELECT * FROM alone UNION ALL SELECT * FROM together) newest
GROUP BY target
