-- How long a command took for each target of a kind, and its memory: the most of the newest runs that ended well,
-- for those that found all current are short.
SELECT newest.target, max(newest.seconds) AS seconds, max(newest.peak_memory_bytes) AS memory_bytes
FROM (
    SELECT r.parameters ->> CAST(:kind AS text) AS target, e.peak_memory_bytes,
           extract(epoch FROM e.ended - r.started)::double precision AS seconds
    FROM run r
    JOIN run_end e USING (run_id)
    WHERE r.command = :command AND e.outcome = 'done' AND r.parameters ? CAST(:kind AS text)
    ORDER BY r.started DESC
    LIMIT 5000
) newest
GROUP BY newest.target
