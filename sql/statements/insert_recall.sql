INSERT INTO recall (target, recalled_run_id, file_id, solution_id, product_id, reason, run_id)
VALUES (:target, CASE :target WHEN 'run' THEN CAST(:id AS bigint) END, CASE :target WHEN 'file' THEN CAST(:id AS bigint) END,
        CASE :target WHEN 'solution' THEN CAST(:id AS bigint) END, CASE :target WHEN 'product' THEN CAST(:id AS bigint) END,
        :reason, :run_id)
RETURNING recall_id
