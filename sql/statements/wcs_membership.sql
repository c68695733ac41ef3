-- The newest joint solution that gave a solution, with the other exposures in it.
SELECT g.alignment_group_id, g.run_id, g.scope, g.scope_name, g.kind, g.catalog, g.figures, m.guide_star_set, m.prior,
       m.correction, m.predicted_error_mas, m.common_floor_mas,
       ARRAY(SELECT e.rootname FROM alignment_member o JOIN exposure e USING (exposure_id)
             WHERE o.alignment_group_id = m.alignment_group_id AND o.exposure_id <> m.exposure_id
             ORDER BY e.rootname) AS members,
       ARRAY(SELECT e.rootname FROM alignment_member o JOIN exposure e USING (exposure_id)
             WHERE o.alignment_group_id = m.alignment_group_id AND o.exposure_id <> m.exposure_id
               AND o.guide_star_set = m.guide_star_set
             ORDER BY e.rootname) AS set_members
FROM alignment_member m
JOIN alignment_group g USING (alignment_group_id)
WHERE m.solution_id = :solution_id
ORDER BY g.alignment_group_id DESC
LIMIT 1
