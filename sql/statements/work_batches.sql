-- The batch of that number; without one those under way, or else the last.
SELECT b.batch_id, b.run_id, b.command, b.workers, b.scheduler, s.started, s.ended, s.outcome, s.message,
       extract(epoch FROM coalesce(s.ended, clock_timestamp()) - s.started)::double precision AS seconds
FROM work_batch b
JOIN run_status s USING (run_id)
WHERE CASE
          WHEN CAST(:batch_id AS bigint) IS NOT NULL THEN b.batch_id = :batch_id
          ELSE b.batch_id = (SELECT max(batch_id) FROM work_batch)
               OR (s.ended IS NULL AND s.outcome = 'running')
      END
ORDER BY b.batch_id
