-- Products that are asked for together (of one visit or tile, in one folder, split in the same way) where something is stale
-- or an exposure is in none of them; with the newest request, which is how they are asked for again. Filters are optional.
WITH made AS MATERIALIZED (
    SELECT c.product_id, c.kind, c.name, c.path, CASE WHEN c.visit IS NULL THEN 'tile' ELSE 'visit' END AS target_kind,
           coalesce(c.visit, c.sky_cell) AS target, c.sky_cell_id, k.folder, p.request ->> 'split_by' AS split_by, p.request
    FROM current_product c
    JOIN product p USING (product_id)
    JOIN product_key k ON k.product_key_id = p.product_key_id
    WHERE p.origin = 'made' AND (c.visit IS NOT NULL OR c.sky_cell IS NOT NULL)
      AND (CAST(:visits AS text[]) IS NULL AND CAST(:tiles AS text[]) IS NULL OR c.visit = ANY (CAST(:visits AS text[]))
           OR c.sky_cell = ANY (CAST(:tiles AS text[])))
      AND (CAST(:folder AS text) IS NULL OR k.folder = :folder)
),
asked AS (
    SELECT DISTINCT ON (target_kind, target, folder, split_by) target_kind, target, folder, split_by, sky_cell_id, request
    FROM made
    ORDER BY target_kind, target, folder, split_by, product_id DESC
),
stale AS (
    SELECT m.target_kind, m.target, m.folder, m.split_by, jsonb_agg(jsonb_build_object(
               'product_id', m.product_id, 'kind', m.kind, 'name', m.name, 'path', m.path, 'codes', s.codes,
               'reasons', s.reasons) ORDER BY m.product_id) AS products
    FROM made m
    JOIN stale_product s USING (product_id)
    GROUP BY m.target_kind, m.target, m.folder, m.split_by
),
covered AS (
    SELECT m.target_kind, m.target, m.folder, m.split_by, i.exposure_id FROM made m JOIN product_input i USING (product_id)
    UNION
    SELECT m.target_kind, m.target, m.folder, m.split_by, x.exposure_id FROM made m JOIN product_exclusion x USING (product_id)
),
wanted AS (
    SELECT a.target_kind, a.target, a.folder, a.split_by, e.exposure_id, e.rootname
    FROM asked a
    JOIN eligible_exposure e ON e.visit = a.target
    WHERE a.target_kind = 'visit'
    UNION ALL
    SELECT a.target_kind, a.target, a.folder, a.split_by, e.exposure_id, e.rootname
    FROM asked a
    JOIN solution_sky_cell t ON t.sky_cell_id = a.sky_cell_id
    JOIN eligible_exposure e ON e.solution_id = t.solution_id
    WHERE a.target_kind = 'tile'
),
unused AS (
    SELECT w.target_kind, w.target, w.folder, w.split_by, array_agg(w.rootname ORDER BY w.rootname) AS rootnames
    FROM wanted w
    WHERE NOT EXISTS (
        SELECT FROM covered c
        WHERE (c.target_kind, c.target, c.folder, c.exposure_id) = (w.target_kind, w.target, w.folder, w.exposure_id)
          AND c.split_by IS NOT DISTINCT FROM w.split_by)
    GROUP BY w.target_kind, w.target, w.folder, w.split_by
)
SELECT a.target_kind, a.target, a.folder, a.request, coalesce(s.products, '[]') AS products,
       coalesce(u.rootnames, '{}') AS unused
FROM asked a
LEFT JOIN stale s ON (s.target_kind, s.target, s.folder) = (a.target_kind, a.target, a.folder)
    AND s.split_by IS NOT DISTINCT FROM a.split_by
LEFT JOIN unused u ON (u.target_kind, u.target, u.folder) = (a.target_kind, a.target, a.folder)
    AND u.split_by IS NOT DISTINCT FROM a.split_by
WHERE s.target IS NOT NULL OR u.target IS NOT NULL
ORDER BY a.target_kind DESC, a.target, a.folder, a.split_by
