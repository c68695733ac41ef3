-- title: Guide-star sets: what joint solutions knew beforehand and what they found
-- sentence: Lists the exposures of joint solutions in force by guide-star set, with the prior, the correction found,
--     and how far each lies from the mean of its set: exposures with one set of guide stars should move together. Rotations
--     are position angles, from north to east.
-- param visit text = %: only visits of this pattern
SELECT g.alignment_group_id, g.scope, m.guide_star_set, e.visit, e.rootname, e.detector, e.filter, e.fgs_lock,
       CAST(m.prior ->> 'pointing' AS double precision) AS prior_pointing_arcsec,
       CAST(m.prior ->> 'relative_pointing' AS double precision) AS prior_relative_arcsec,
       round(CAST(1000 * m.correction[1] AS numeric), 2) AS shift_east_mas,
       round(CAST(1000 * m.correction[2] AS numeric), 2) AS shift_north_mas,
       round(CAST(1000 * (m.correction[1] - avg(m.correction[1]) OVER same) AS numeric), 2) AS from_set_east_mas,
       round(CAST(1000 * (m.correction[2] - avg(m.correction[2]) OVER same) AS numeric), 2) AS from_set_north_mas,
       round(CAST(-degrees(m.correction[3]) AS numeric), 6) AS rotation_deg,
       round(CAST(1e6 * m.correction[4] AS numeric), 2) AS scale_ppm,
       round(CAST(m.predicted_error_mas AS numeric), 3) AS predicted_error_mas, m.prior ->> 'why' AS rests_on
FROM alignment_member m
JOIN alignment_group g USING (alignment_group_id)
JOIN exposure e USING (exposure_id)
JOIN wcs_active a ON a.exposure_id = m.exposure_id AND a.solution_id = m.solution_id AND upper_inf(a.during)
WHERE e.visit LIKE :visit
  AND g.alignment_group_id = (SELECT max(o.alignment_group_id) FROM alignment_member o
                              WHERE o.solution_id = m.solution_id)
WINDOW same AS (PARTITION BY g.alignment_group_id, m.guide_star_set)
ORDER BY g.alignment_group_id, m.guide_star_set, e.rootname
