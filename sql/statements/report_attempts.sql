-- The attempts of a run, in order: all, those on a visit, or those on the exposures of a group. An attempt that repeats
-- an older one with the same inputs left its stars and the catalog's answers with that one (evidence_id).
SELECT t.attempt_id, CAST(coalesce(t.metrics ->> 'first_attempt_id', CAST(t.attempt_id AS text)) AS bigint) AS evidence_id,
       t.run_id, t.exposure_id, e.rootname, e.visit, e.instrument, e.detector, e.filter, e.exposure_time,
       t.alignment_group_id, t.method, t.catalog, t.geometry, t.outcome, t.code, t.reason, t.epoch, t.n_detected,
       t.n_reference, t.nmatches, t.rms_ra_mas, t.rms_dec_mas, t.shift_ra_mas, t.shift_dec_mas, t.rotation_deg,
       t.scale_ratio, t.score, t.best_decoy_score, t.covered_fraction, t.from_solution_id, t.solution_id,
       f.wcsname AS from_wcsname, s.wcsname, s.frame, p.name || ' version ' || p.version AS policy, p.content AS rule,
       l.name AS ladder, t.ladder_step, t.metrics, b.solution_id AS active_solution_id, b.wcsname AS active_wcsname,
       coalesce(a.frame, b.frame) AS active_frame
FROM alignment_attempt t
JOIN exposure e USING (exposure_id)
JOIN policy p ON p.policy_id = t.policy_id
JOIN wcs_solution f ON f.solution_id = t.from_solution_id
LEFT JOIN policy l ON l.policy_id = t.ladder_policy_id
LEFT JOIN wcs_solution s ON s.solution_id = t.solution_id
LEFT JOIN wcs_active a ON a.exposure_id = t.exposure_id AND upper_inf(a.during)
LEFT JOIN wcs_solution b ON b.solution_id = a.solution_id
WHERE t.run_id = :run_id
  AND (CAST(:visit AS text) IS NULL OR t.visit = :visit)
  AND (CAST(:alignment_group_id AS bigint) IS NULL
       OR t.exposure_id IN (SELECT o.exposure_id FROM alignment_attempt o
                            WHERE o.run_id = :run_id AND o.alignment_group_id = :alignment_group_id))
ORDER BY t.attempt_id
