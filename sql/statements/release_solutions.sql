-- Solutions of a released recall that may be in force again: no other recall holds them, and what the recall left is still so.
SELECT r.exposure_id, r.solution_id, r.origin, e.rootname
FROM recalled_solution r
JOIN recall c USING (recall_id)
JOIN exposure e ON e.exposure_id = r.exposure_id
LEFT JOIN wcs_active a ON a.exposure_id = r.exposure_id AND upper_inf(a.during)
WHERE r.recall_id = :recall_id AND r.origin IS NOT NULL AND (a.run_id IS NULL OR a.run_id = c.run_id)
  AND NOT EXISTS (SELECT FROM recalled_solution o JOIN recall_in_force USING (recall_id)
                  WHERE o.solution_id = r.solution_id)
ORDER BY r.exposure_id
