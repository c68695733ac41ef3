-- title: The WCS of an exposure as it was on a date
-- sentence: Shows the solution that was in force for an exposure at a moment, since when, until when, and why.
-- param rootname text: the exposure, ipppssoot
-- param moment moment: date or date and time, ISO 8601, UTC unless it says otherwise
SELECT e.rootname, s.wcsname, s.frame, s.nmatches, s.rms_ra_mas, s.rms_dec_mas, lower(a.during) AS since,
       upper(a.during) AS until, a.origin, a.reason, s.solution_id, a.run_id
FROM wcs_active a
JOIN exposure e USING (exposure_id)
JOIN wcs_solution s USING (exposure_id, solution_id)
WHERE e.rootname = lower(:rootname)
  AND a.during @> CAST(:moment AS timestamptz)
