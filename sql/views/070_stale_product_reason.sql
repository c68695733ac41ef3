-- A current product is stale when what would go in now differs from what went in (either way round), when the policy
-- asks for other parameters, masks or software (see product_policy_same), or when its file was seen missing or damaged. Grids: those of a visit's detectors
-- share a tangent point, so they are made from all its eligible exposures; grid->'members' holds [exposure_id, solution_id]
-- of each, so a change of any of them makes all of them stale. A layer's grid is the tile's, cut to the layer's own data.
-- A mosaic of a field keeps the HEALPix cells of the field in its grid. A part of a split layer takes the exposures of its
-- label only.
-- Products that other pipelines made (imports) can only be missing or damaged.
-- Each of the two subqueries is named once: a condition on product_id then reaches the tables and is answered by index. The
-- members of a grid are gathered once a visit, not once a product; inputs are compared before they are put in words.
CREATE OR REPLACE VIEW stale_product_reason AS
WITH input AS (
    SELECT p.product_id, p.kind, x.rootname, i.exposure_id, i.solution_id, i.file_id, i.mask_id,
           e.exposure_id IS NOT NULL AS eligible, e.solution_id AS solution_now, e.file_id AS file_now,
           m.mask_id AS mask_now
    FROM made_product p
    JOIN product_input i USING (product_id)
    JOIN exposure x ON x.exposure_id = i.exposure_id
    LEFT JOIN eligible_exposure e ON e.exposure_id = i.exposure_id
    LEFT JOIN exposure_mask_current m ON m.exposure_id = i.exposure_id AND upper_inf(m.during)
    WHERE p.kind <> 'grism'
      AND (e.exposure_id IS NULL OR e.solution_id <> i.solution_id OR e.file_id <> i.file_id
           OR (m.mask_id IS DISTINCT FROM i.mask_id AND (p.kind <> 'exposure' OR i.mask_id IS NOT NULL)))
),
candidate AS (
    SELECT p.product_id, e.exposure_id, e.rootname, e.solution_id
    FROM made_product p
    JOIN eligible_exposure e ON e.visit = p.visit AND e.detector = p.detector
    WHERE p.kind = 'total' OR (p.kind = 'filter' AND e.filter = p.filter)
    UNION ALL
    SELECT p.product_id, e.exposure_id, e.rootname, e.solution_id
    FROM made_product p
    JOIN solution_sky_cell t ON t.sky_cell_id = p.sky_cell_id
    JOIN eligible_exposure e ON e.solution_id = t.solution_id
        AND (e.instrument, e.detector, e.filter) = (p.instrument, p.detector, p.filter)
    WHERE p.kind = 'layer' AND (p.label = '' OR EXISTS (
        SELECT FROM exposure_label l WHERE l.exposure_id = e.exposure_id AND l.label = p.label))
    UNION ALL
    SELECT p.product_id, e.exposure_id, e.rootname, e.solution_id
    FROM made_product p
    JOIN product q USING (product_id)
    JOIN wcs_solution s ON s.footprint && CAST(q.grid ->> 'footprint' AS int8multirange)
    JOIN eligible_exposure e ON e.solution_id = s.solution_id
        AND (e.instrument, e.detector, e.filter) = (p.instrument, p.detector, p.filter)
    WHERE p.kind = 'mosaic' AND (p.label = '' OR EXISTS (
        SELECT FROM exposure_label l WHERE l.exposure_id = e.exposure_id AND l.label = p.label))
)
SELECT i.product_id, difference.code, i.rootname || difference.words AS reason
FROM input i
CROSS JOIN LATERAL (VALUES
    ('solution', ': another WCS solution is in force', i.eligible AND i.solution_id <> i.solution_now),
    ('withdrawn', ': no longer to be mosaicked', NOT i.eligible),
    ('file', ': another file content is in force', i.eligible AND i.file_id <> i.file_now),
    ('mask', ': another cosmic-ray mask is in force',
     i.eligible AND i.mask_id IS DISTINCT FROM i.mask_now AND (i.kind <> 'exposure' OR i.mask_id IS NOT NULL))
) difference (code, words, holds)
WHERE difference.holds
UNION ALL
SELECT p.product_id, difference.code, x.rootname || difference.words
FROM made_product p
JOIN product_input i USING (product_id)
JOIN exposure x ON x.exposure_id = i.exposure_id
LEFT JOIN grism_exposure g ON g.exposure_id = i.exposure_id
CROSS JOIN LATERAL (VALUES
    ('solution', ': another WCS solution is that of its direct images', i.solution_id <> g.solution_id),
    ('withdrawn', ': no longer a grism exposure to make products of', g.exposure_id IS NULL),
    ('file', ': another file content is in force', i.file_id <> g.file_id)
) difference (code, words, holds)
WHERE p.kind = 'grism' AND difference.holds
UNION ALL
SELECT c.product_id, 'new', c.rootname || ': new exposure'
FROM candidate c
WHERE NOT EXISTS (SELECT FROM product_input i WHERE (i.product_id, i.exposure_id) = (c.product_id, c.exposure_id))
  AND NOT EXISTS (SELECT FROM product_exclusion x WHERE (x.product_id, x.exposure_id) = (c.product_id, c.exposure_id))
UNION ALL
SELECT p.product_id, 'exclusion',
       e.rootname || CASE WHEN x.solution_id IS NULL THEN ': was left out, and may go in now'
                          ELSE ': was left out with another WCS solution' END
FROM made_product p
JOIN product_exclusion x USING (product_id)
JOIN eligible_exposure e ON e.exposure_id = x.exposure_id
WHERE x.solution_id IS DISTINCT FROM e.solution_id
UNION ALL
SELECT p.product_id, 'exclusion', e.rootname || ': was left out as not CTE-corrected, and is now'
FROM made_product p
JOIN product_exclusion x USING (product_id)
JOIN eligible_exposure e ON e.exposure_id = x.exposure_id
WHERE x.code = 'not-cte-corrected' AND e.suffix = 'flc'
UNION ALL
SELECT p.product_id, 'grid', 'the exposures that define the grid of the visit changed'
FROM made_product p
JOIN product q USING (product_id)
JOIN visit v ON v.visit = p.visit
CROSS JOIN LATERAL (
    SELECT jsonb_agg(jsonb_build_array(e.exposure_id, e.solution_id) ORDER BY e.exposure_id) AS members
    FROM eligible_exposure e WHERE e.visit = v.visit
) now
WHERE p.kind <> 'grism' AND q.grid -> 'members' IS DISTINCT FROM now.members
UNION ALL
SELECT p.product_id, 'policy', 'under the policy of products in force its parameters, masks or software are others'
FROM made_product p
JOIN policy_active a ON a.kind = 'products' AND upper_inf(a.during)
WHERE a.policy_id <> p.policy_id
  AND NOT EXISTS (SELECT FROM product_policy_same s WHERE (s.product_id, s.policy_id) = (p.product_id, a.policy_id))
UNION ALL
SELECT p.product_id, k.state, 'its ' || f.kind || ' file was found ' || k.state
FROM product_file_check k
JOIN product_file f USING (product_file_id)
JOIN current_product p USING (product_id)
WHERE k.state <> 'ok'
  AND NOT EXISTS (
      SELECT FROM product_file_check l
      WHERE l.product_file_id = k.product_file_id AND l.product_file_check_id > k.product_file_check_id);

COMMENT ON VIEW stale_product_reason IS 'Why a current product is stale: one row per product and reason.';
