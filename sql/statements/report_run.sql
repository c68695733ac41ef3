-- A run that aligned, as a report tells it.
SELECT r.run_id, r.command, r.arguments, r.parameters, r.hapctl_version, r.host, r.operator, r.started, x.ended,
       x.outcome, x.message
FROM run r
LEFT JOIN run_end x USING (run_id)
WHERE r.run_id = :run_id
