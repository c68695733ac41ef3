-- Exposures in force without the other members of their group, of the groups of what is to be put in force: their frames
-- may change with it.
SELECT DISTINCT a.exposure_id, a.solution_id
FROM wcs_solution c
JOIN wcs_solution s ON s.alignment_group_id = c.alignment_group_id
JOIN wcs_active a ON a.solution_id = s.solution_id AND upper_inf(a.during) AND a.frame IS NOT NULL
WHERE c.solution_id = ANY (CAST(:solution_ids AS bigint[]))
  AND a.exposure_id <> ALL (CAST(:exposure_ids AS bigint[]))
ORDER BY a.exposure_id
