SELECT c.solution_id, e.rootname, s.wcsname, s.problem
FROM unnest(CAST(:exposure_ids AS bigint[]), CAST(:solution_ids AS bigint[])) c (exposure_id, solution_id)
LEFT JOIN exposure e ON e.exposure_id = c.exposure_id
LEFT JOIN wcs_solution s ON s.exposure_id = c.exposure_id AND s.solution_id = c.solution_id
WHERE s.solution_id IS NULL OR s.problem IS NOT NULL
