SELECT run_id, command, started, ended, outcome, message
FROM run_status
ORDER BY run_id DESC
LIMIT 10
