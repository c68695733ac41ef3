SELECT a.exposure_id, a.solution_id, s.wcsname, s.frame, a.origin, a.reason, a.run_id
FROM wcs_active a
JOIN wcs_solution s USING (exposure_id, solution_id)
WHERE a.exposure_id = :exposure_id AND upper_inf(a.during)
