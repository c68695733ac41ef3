SELECT c.exposure_id, c.solution_id, e.rootname, s.wcsname, s.problem, a.solution_id AS active_id
FROM unnest(CAST(:exposure_ids AS bigint[]), CAST(:solution_ids AS bigint[])) c (exposure_id, solution_id)
LEFT JOIN exposure e ON e.exposure_id = c.exposure_id
LEFT JOIN wcs_solution s ON s.exposure_id = c.exposure_id AND s.solution_id = c.solution_id
LEFT JOIN wcs_active a ON a.exposure_id = c.exposure_id AND upper_inf(a.during)
ORDER BY c.exposure_id
