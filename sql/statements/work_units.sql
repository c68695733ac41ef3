SELECT name, state, host, pid, started, ended, seconds, predicted_seconds, predicted_memory_bytes,
       peak_memory_bytes, tries, exit_code, message, remedy
FROM work_unit_status
WHERE batch_id = :batch_id
ORDER BY number
