SELECT DISTINCT r.solution_id
FROM recalled_solution r JOIN recall_in_force USING (recall_id)
WHERE r.exposure_id = :exposure_id
