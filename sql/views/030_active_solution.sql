CREATE OR REPLACE VIEW active_solution AS
SELECT e.rootname, e.visit, e.instrument, e.detector, e.filter, s.wcsname, s.mode, s.catalog, COALESCE(a.frame, s.frame) AS frame,
       s.nmatches,
       s.rms_ra_mas, s.rms_dec_mas, a.run_id, lower(a.during) AS since
FROM wcs_active a
JOIN exposure e USING (exposure_id)
JOIN wcs_solution s USING (exposure_id, solution_id)
WHERE upper_inf(a.during);

COMMENT ON VIEW active_solution IS 'The WCS solution in force of every exposure, and since when.';
