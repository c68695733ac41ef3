CREATE OR REPLACE VIEW wcs_history AS
SELECT e.rootname, e.visit, s.wcsname, COALESCE(a.frame, s.frame) AS frame, s.nmatches, s.rms_ra_mas, s.rms_dec_mas, lower(a.during) AS since,
       upper(a.during) AS until, a.origin, a.reason, s.solution_id, a.run_id, a.closed_run_id
FROM wcs_active a
JOIN exposure e USING (exposure_id)
JOIN wcs_solution s USING (exposure_id, solution_id);

COMMENT ON VIEW wcs_history IS 'Every solution that is or was in force, from when to when, and why.';
