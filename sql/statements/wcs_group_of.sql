-- The other exposures whose solutions in force were fitted together with one.
SELECT e.rootname FROM wcs_solution s
JOIN exposure e USING (exposure_id)
JOIN wcs_active a ON a.solution_id = s.solution_id AND upper_inf(a.during)
WHERE s.alignment_group_id = :alignment_group_id AND e.exposure_id <> :exposure_id
ORDER BY e.rootname
