SELECT run_id, command, started, host
FROM run_status
WHERE outcome = 'abandoned'
ORDER BY run_id DESC
LIMIT 20
