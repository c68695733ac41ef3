-- The members of groups: what was known of each before and what was found.
SELECT m.alignment_group_id, m.exposure_id, e.rootname, m.solution_id, m.guide_star_set, m.prior, m.correction,
       m.covariance, m.predicted_error_mas, m.common_floor_mas
FROM alignment_member m
JOIN exposure e USING (exposure_id)
WHERE m.alignment_group_id = ANY (CAST(:alignment_group_ids AS bigint[]))
ORDER BY m.alignment_group_id, m.guide_star_set, e.rootname
