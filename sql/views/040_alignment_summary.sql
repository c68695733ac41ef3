-- The last run's word on each exposure and method; of a climbed ladder its last step.
CREATE OR REPLACE VIEW alignment_summary AS
SELECT DISTINCT ON (t.exposure_id, t.method)
       t.visit, e.rootname, e.instrument, e.detector, e.filter, t.method, t.catalog, t.geometry, t.outcome, t.code,
       t.reason, t.n_detected, t.n_reference, t.nmatches, t.rms_ra_mas, t.rms_dec_mas, t.shift_ra_mas,
       t.shift_dec_mas, t.rotation_deg, t.scale_ratio, t.score, t.best_decoy_score, t.covered_fraction,
       s.wcsname, t.attempt_id, t.run_id, r.started, t.ladder_step,
       CAST(t.metrics ->> 'predicted_error_mas' AS double precision) AS predicted_error_mas
FROM alignment_attempt t
JOIN exposure e USING (exposure_id)
JOIN run r ON r.run_id = t.run_id
LEFT JOIN wcs_solution s ON s.solution_id = t.solution_id
ORDER BY t.exposure_id, t.method, t.attempt_id DESC;

COMMENT ON VIEW alignment_summary IS 'The latest alignment attempt of every exposure, by method: joint, relative, absolute.';
