-- Outlines of all chips of the solutions in force of a visit.
SELECT e.rootname, s.kind, s.frame, c.polygon
FROM exposure e
JOIN wcs_active a ON a.exposure_id = e.exposure_id AND upper_inf(a.during)
JOIN wcs_solution s ON s.solution_id = a.solution_id
JOIN wcs_chip c ON c.solution_id = s.solution_id
WHERE e.visit = :visit AND e.exclusion_code IS NULL
ORDER BY e.rootname, c.extver
