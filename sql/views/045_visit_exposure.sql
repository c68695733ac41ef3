-- What a condition on visits is asked of (--where of align, mosaic and process): one row per exposure, by plain names.
CREATE OR REPLACE VIEW visit_exposure AS
SELECT e.visit, e.proposal_id, e.rootname, e.instrument, e.detector, e.filter, e.aperture, e.target_name, e.obstype,
       e.exposure_time, e.t_start, e.mjd_start, e.ra_target AS ra, e.dec_target AS dec, e.exclusion_code,
       e.exclusion_code IS NOT NULL AS excluded,
       EXISTS (SELECT FROM exposure_withdrawal w WHERE w.exposure_id = e.exposure_id AND upper_inf(w.during)) AS withdrawn,
       s.wcsname, COALESCE(a.frame, s.frame) AS frame, COALESCE(a.frame, s.frame) LIKE 'GAIA-%' AS absolute,
       s.nmatches, s.rms_ra_mas, s.rms_dec_mas, lower(a.during) AS solved
FROM exposure e
LEFT JOIN wcs_active a ON a.exposure_id = e.exposure_id AND upper_inf(a.during)
LEFT JOIN wcs_solution s ON s.solution_id = a.solution_id;

COMMENT ON VIEW visit_exposure IS 'Every exposure with its visit, proposal and solution in force: what --where chooses visits by.';
COMMENT ON COLUMN visit_exposure.ra IS 'of the target, degrees';
COMMENT ON COLUMN visit_exposure.dec IS 'of the target, degrees';
COMMENT ON COLUMN visit_exposure.exposure_time IS 'seconds';
COMMENT ON COLUMN visit_exposure.excluded IS 'whether it is not to be aligned and mosaicked (exclusion_code says why)';
COMMENT ON COLUMN visit_exposure.absolute IS 'whether its solution in force is on the frame of Gaia';
COMMENT ON COLUMN visit_exposure.solved IS 'since when its solution is in force';
