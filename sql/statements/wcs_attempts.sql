-- The attempts on an exposure, newest first.
SELECT t.attempt_id, t.run_id, r.started, t.method, t.catalog, t.geometry, t.outcome, t.code,
       t.reason, t.n_detected, t.n_reference, t.nmatches, t.rms_ra_mas, t.rms_dec_mas, t.shift_ra_mas, t.shift_dec_mas,
       t.rotation_deg, t.scale_ratio, t.score, t.best_decoy_score, t.covered_fraction, t.solution_id,
       f.wcsname AS from_wcsname, s.wcsname, p.name || ' version ' || p.version AS policy, t.metrics,
       l.name AS ladder, t.ladder_step
FROM alignment_attempt t
JOIN exposure e USING (exposure_id)
JOIN run r ON r.run_id = t.run_id
JOIN policy p ON p.policy_id = t.policy_id
LEFT JOIN policy l ON l.policy_id = t.ladder_policy_id
JOIN wcs_solution f ON f.solution_id = t.from_solution_id
LEFT JOIN wcs_solution s ON s.solution_id = t.solution_id
WHERE e.rootname = :rootname
ORDER BY t.attempt_id DESC
