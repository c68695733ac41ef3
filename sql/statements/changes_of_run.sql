-- Whether there is a run, and how many changes of files it made, undone ones included.
SELECT r.run_id, (SELECT count(*) FROM file_change c WHERE c.run_id = r.run_id) AS changes
FROM run r
WHERE r.run_id = :run_id
