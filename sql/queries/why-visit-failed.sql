-- title: Every alignment attempt of a visit, in order, with its reason
-- sentence: Shows what was tried on each exposure of a visit, against which catalog, what came of it and why: the
--     answer to "why did this visit fail?".
-- param visit text: the visit, ipppss
SELECT t.run_id, r.started, e.rootname, e.detector, e.filter, t.method, l.name AS ladder,
       t.ladder_step AS step, t.catalog, t.metrics ->> 'method' AS search, t.geometry, t.outcome, t.code,
       t.reason, t.n_detected, t.n_reference, t.nmatches, t.rms_ra_mas, t.rms_dec_mas, t.score, t.best_decoy_score,
       s.wcsname
FROM alignment_attempt t
JOIN run r ON r.run_id = t.run_id
JOIN exposure e ON e.exposure_id = t.exposure_id
LEFT JOIN policy l ON l.policy_id = t.ladder_policy_id
LEFT JOIN wcs_solution s ON s.solution_id = t.solution_id
WHERE t.visit = lower(:visit)
ORDER BY r.started, t.attempt_id
