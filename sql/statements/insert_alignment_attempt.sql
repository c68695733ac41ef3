INSERT INTO alignment_attempt (
    run_id, visit, exposure_id, alignment_group_id, method, catalog, geometry, outcome, code, reason, policy_id, epoch,
    n_detected, n_reference, nmatches, rms_ra_mas, rms_dec_mas, shift_ra_mas, shift_dec_mas, rotation_deg, scale_ratio,
    score, best_decoy_score, covered_fraction, from_solution_id, solution_id, metrics, ladder_policy_id, ladder_step,
    inputs_sha256
)
VALUES (
    :run_id, :visit, :exposure_id, :alignment_group_id, :method, :catalog, :geometry, :outcome, :code, :reason,
    :policy_id, :epoch, :n_detected, :n_reference, :nmatches, :rms_ra_mas, :rms_dec_mas, :shift_ra_mas,
    :shift_dec_mas, :rotation_deg, :scale_ratio, :score, :best_decoy_score, :covered_fraction, :from_solution_id,
    :solution_id, CAST(:metrics AS jsonb), :ladder_policy_id, :ladder_step, :inputs_sha256
)
RETURNING attempt_id
