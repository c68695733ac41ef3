-- With how each had been put in force, where it is.
INSERT INTO recalled_solution (recall_id, exposure_id, solution_id, origin)
SELECT :recall_id, s.exposure_id, s.solution_id, a.origin
FROM wcs_solution s
LEFT JOIN wcs_active a ON a.exposure_id = s.exposure_id AND a.solution_id = s.solution_id AND upper_inf(a.during)
WHERE s.solution_id = ANY (CAST(:ids AS bigint[]))
