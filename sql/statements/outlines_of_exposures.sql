-- Outlines of all chips of some exposures, by the solutions in force and by some others.
SELECT e.rootname, s.kind, s.frame, c.polygon
FROM exposure e
JOIN wcs_solution s ON s.exposure_id = e.exposure_id
JOIN wcs_chip c ON c.solution_id = s.solution_id
WHERE e.exposure_id = ANY (CAST(:exposure_ids AS bigint[]))
  AND (s.solution_id = ANY (CAST(:solution_ids AS bigint[]))
       OR EXISTS (SELECT FROM wcs_active a WHERE a.solution_id = s.solution_id AND upper_inf(a.during)))
ORDER BY e.rootname, s.solution_id, c.extver
