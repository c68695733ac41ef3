SELECT s.exposure_id, e.rootname, s.wcsname, s.frame, s.keywords, s.problem, s.headerlet
FROM wcs_solution s
JOIN exposure e USING (exposure_id)
WHERE s.solution_id = :solution_id
