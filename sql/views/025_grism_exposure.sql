-- Grism and prism exposures: no image of the sky is made of them, but they get the WCS of their direct images, those of
-- their visit and detector. Where both are good in one frame (an alignment moved them together, or both have their
-- visit's guide stars) that is the solution in force; else the best kind of solution that the exposure and all its
-- direct images have in common: the distortion model on GSC 2.4.0, then the model alone (HAP's order); else that in force.
CREATE OR REPLACE VIEW grism_exposure AS
WITH found AS (
    SELECT e.exposure_id, e.rootname, e.visit, e.instrument, e.detector, e.filter, e.exposure_time, e.t_mid,
           f.file_id, f.suffix, a.solution_id AS active_id, COALESCE(a.frame, s.frame) AS active_frame
    FROM exposure e
    JOIN wcs_active a ON a.exposure_id = e.exposure_id AND upper_inf(a.during)
    JOIN wcs_solution s ON s.solution_id = a.solution_id
    CROSS JOIN LATERAL (
        SELECT c.file_id, c.suffix
        FROM exposure_file_current c
        WHERE c.exposure_id = e.exposure_id AND upper_inf(c.during)
        ORDER BY array_position(ARRAY['flc', 'flt', 'c0m', 'c0f'], c.suffix), c.suffix
        LIMIT 1
    ) f
    WHERE e.exclusion_code = 'dispersed'
      AND NOT EXISTS (SELECT FROM exposure_withdrawal w WHERE w.exposure_id = e.exposure_id AND upper_inf(w.during))
      AND NOT EXISTS (SELECT FROM recalled_file r JOIN recall_in_force USING (recall_id) WHERE r.file_id = f.file_id)
)
SELECT f.exposure_id, f.rootname, f.visit, f.instrument, f.detector, f.filter, f.exposure_time, f.t_mid,
       f.file_id, f.suffix, chosen.solution_id, s.wcsname,
       CASE WHEN chosen.solution_id = f.active_id THEN f.active_frame ELSE s.frame END AS frame,
       s.base, s.idc_root, s.frame LIKE 'GAIA-%' AS absolute
FROM found f
CROSS JOIN LATERAL (
    SELECT common.solution_id
    FROM (
        SELECT f.active_id AS solution_id, 0 AS preference
        WHERE EXISTS (
            SELECT FROM eligible_exposure d
            WHERE (d.visit, d.detector, d.frame) = (f.visit, f.detector, f.active_frame))
        UNION ALL
        SELECT o.solution_id, CASE o.kind WHEN 'a_priori' THEN 1 ELSE 2 END
        FROM wcs_solution o
        WHERE o.exposure_id = f.exposure_id AND o.problem IS NULL AND o.idc_root IS NOT NULL
          AND (o.kind = 'idc' OR (o.kind = 'a_priori' AND o.catalog = 'GSC240'))
          AND NOT EXISTS (
              SELECT FROM eligible_exposure d
              WHERE (d.visit, d.detector) = (f.visit, f.detector)
                AND NOT EXISTS (
                    SELECT FROM wcs_solution t
                    WHERE (t.exposure_id, t.wcsname) = (d.exposure_id, o.wcsname) AND t.problem IS NULL
                    OFFSET 0))  -- looked up by index for each, not hashed from all solutions
        UNION ALL
        SELECT f.active_id, 3
    ) common
    ORDER BY common.preference, common.solution_id DESC
    LIMIT 1
) chosen
JOIN wcs_solution s ON s.solution_id = chosen.solution_id;

COMMENT ON VIEW grism_exposure IS 'Grism and prism exposures that products are made of now, with file and solution.';
