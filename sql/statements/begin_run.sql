-- The start of a run, with the session that stands for its life.
INSERT INTO run (command, arguments, parameters, parameters_sha256, hapctl_version, software, host, cpu, operator,
                 pid, backend_pid, backend_start)
SELECT :command, :arguments, CAST(:parameters AS jsonb), :parameters_sha256, :hapctl_version,
       CAST(:software AS jsonb), :host, :cpu, :operator, :pid, a.pid, a.backend_start
FROM pg_stat_activity a
WHERE a.pid = pg_backend_pid()
RETURNING run_id
