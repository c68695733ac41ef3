INSERT INTO alignment_member (
    alignment_group_id, exposure_id, solution_id, guide_star_set, prior, centre, correction, covariance,
    predicted_error_mas, common_floor_mas, run_id
)
VALUES (
    :alignment_group_id, :exposure_id, :solution_id, :guide_star_set, CAST(:prior AS jsonb), :centre, :correction,
    :covariance, :predicted_error_mas, :common_floor_mas, :run_id
)
