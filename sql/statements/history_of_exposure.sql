-- What was in force for an exposure, when, by which run and why; oldest first.
SELECT s.solution_id, s.wcsname, s.wcsname || '@' || s.run_id AS full_name, COALESCE(a.frame, s.frame) AS frame,
       s.nmatches, s.rms_ra_mas, s.rms_dec_mas, s.alignment_group_id, lower(a.during) AS since,
       upper(a.during) AS until, a.origin, a.reason, a.run_id, r.command, a.closed_run_id
FROM wcs_active a
JOIN wcs_solution s USING (exposure_id, solution_id)
JOIN run r ON r.run_id = a.run_id
JOIN exposure e ON e.exposure_id = a.exposure_id
WHERE e.rootname = :rootname
ORDER BY lower(a.during)
