-- Who holds an advisory lock: the run of the session, where it is a run.
SELECT format('run %s (%s) of %s on %s, process %s, since %s UTC', r.run_id, r.command, r.operator, r.host, r.pid,
              to_char(r.started AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS'))
FROM pg_locks l
JOIN pg_stat_activity a ON a.pid = l.pid
JOIN run r ON r.backend_pid = a.pid AND r.backend_start = a.backend_start
WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1
  AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
  AND l.classid::bigint = :high AND l.objid::bigint = :low
ORDER BY r.run_id DESC
LIMIT 1
