-- Recalls that were not released.
CREATE OR REPLACE VIEW recall_in_force AS
SELECT r.recall_id, r.target, r.recalled_run_id, r.file_id, r.solution_id, r.product_id, r.reason, r.run_id
FROM recall r
WHERE NOT EXISTS (SELECT FROM recall_release b WHERE b.recall_id = r.recall_id);

COMMENT ON VIEW recall_in_force IS 'Recalls of bad runs, files, solutions and products, without those that were released.';
