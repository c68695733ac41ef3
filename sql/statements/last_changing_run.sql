-- The last run with a change of a file that nobody has undone; NULL where there is none.
SELECT max(c.run_id)
FROM file_change c
WHERE NOT EXISTS (SELECT FROM file_change_undone u WHERE u.file_change_id = c.file_change_id)
