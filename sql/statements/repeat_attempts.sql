-- The attempts of the run that tried some inputs first, once more under a new run: what was accepted then is unchanged
-- now. The matched stars stay with the first of them.
INSERT INTO alignment_attempt (
    run_id, visit, exposure_id, alignment_group_id, method, catalog, geometry, outcome, code, reason, policy_id, epoch,
    n_detected, n_reference, nmatches, rms_ra_mas, rms_dec_mas, shift_ra_mas, shift_dec_mas, rotation_deg, scale_ratio,
    score, best_decoy_score, covered_fraction, from_solution_id, solution_id, metrics, ladder_policy_id, ladder_step,
    inputs_sha256
)
SELECT :run_id, t.visit, t.exposure_id, t.alignment_group_id, t.method, t.catalog, t.geometry,
       CASE t.outcome WHEN 'accepted' THEN 'unchanged' ELSE t.outcome END,
       CASE t.outcome WHEN 'accepted' THEN 'unchanged' ELSE t.code END,
       t.reason, t.policy_id, t.epoch, t.n_detected, t.n_reference, t.nmatches, t.rms_ra_mas, t.rms_dec_mas,
       t.shift_ra_mas, t.shift_dec_mas, t.rotation_deg, t.scale_ratio, t.score, t.best_decoy_score,
       t.covered_fraction, t.from_solution_id, t.solution_id,
       t.metrics || jsonb_build_object('first_attempt_id', t.attempt_id), t.ladder_policy_id, t.ladder_step,
       t.inputs_sha256
FROM alignment_attempt t
WHERE t.run_id = :first_run_id AND t.inputs_sha256 = :inputs_sha256
ORDER BY t.attempt_id
RETURNING attempt_id, exposure_id, method, outcome, code, reason, nmatches, rms_ra_mas, rms_dec_mas, solution_id,
    alignment_group_id
