-- The newest recall in force of just this.
SELECT recall_id FROM recall_in_force
WHERE target = :target
  AND CAST(:id AS bigint) = CASE target WHEN 'run' THEN recalled_run_id WHEN 'file' THEN file_id
                                        WHEN 'solution' THEN solution_id ELSE product_id END
ORDER BY recall_id DESC LIMIT 1
