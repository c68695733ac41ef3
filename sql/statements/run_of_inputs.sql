-- The first run that tried an alignment with these inputs; its attempts were committed together. What was recalled is
-- tried again.
SELECT min(t.run_id) FROM alignment_attempt t
WHERE t.inputs_sha256 = :inputs_sha256
  AND NOT EXISTS (
      SELECT FROM alignment_attempt o
      JOIN recalled_solution r USING (solution_id)
      JOIN recall_in_force USING (recall_id)
      WHERE o.run_id = t.run_id AND o.inputs_sha256 = t.inputs_sha256)
