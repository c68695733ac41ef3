-- Products that are asked for together (of one visit, tile or field, in one folder, split in the same way) where something is
-- stale, waits to be made again after a recall, or where an exposure is in none of them; with the newest request, which is how
-- they are asked for again. :changed are products that rules not yet in force change, :missing products that lack a file. All
-- filters are optional. Names and paths are looked up for what is stale only, and stale products are found once.
WITH recalled AS MATERIALIZED (
    SELECT product_id, visit, sky_cell_id, folder, code, reason FROM product_awaiting_rebuild
),
made AS (
    SELECT p.product_id, p.visit, p.sky_cell_id, k.folder,
           CASE WHEN p.visit IS NULL AND p.sky_cell_id IS NULL THEN p.grid ->> 'field' END AS field,
           CASE WHEN p.visit IS NULL THEN coalesce(p.request ->> 'split_by', '') ELSE '' END AS split_by, false AS recalled
    FROM product_current n
    JOIN product p USING (product_key_id, product_id)
    JOIN product_key k ON k.product_key_id = p.product_key_id
    WHERE p.origin = 'made' AND upper_inf(n.during)
    UNION ALL
    SELECT w.product_id, w.visit, w.sky_cell_id, w.folder,
           CASE WHEN w.visit IS NULL AND w.sky_cell_id IS NULL THEN p.grid ->> 'field' END,
           CASE WHEN w.visit IS NULL THEN coalesce(p.request ->> 'split_by', '') ELSE '' END, true
    FROM recalled w
    JOIN product p USING (product_id)
),
-- A group has the number of its newest product.
asked AS MATERIALIZED (
    SELECT max(product_id) AS number, visit, sky_cell_id, field, folder, split_by, array_agg(product_id) AS all_products,
           array_agg(product_id) FILTER (WHERE NOT recalled) AS in_force
    FROM made
    WHERE (CAST(:visits AS text[]) IS NULL AND CAST(:tiles AS text[]) IS NULL OR visit = ANY (CAST(:visits AS text[]))
           OR sky_cell_id IN (SELECT c.sky_cell_id FROM sky_cell c WHERE c.name = ANY (CAST(:tiles AS text[]))))
      AND (CAST(:folder AS text) IS NULL OR folder = :folder)
    GROUP BY visit, sky_cell_id, field, folder, split_by
),
found AS MATERIALIZED (
    SELECT product_id, codes, reasons FROM stale_product
),
reason AS (
    SELECT product_id, codes, reasons FROM found
    UNION ALL
    SELECT product_id, ARRAY['policy'], ARRAY['its parameters or masks are others by the rules of this software']
    FROM unnest(CAST(:changed AS bigint[])) changed (product_id)
    WHERE NOT EXISTS (SELECT FROM found s WHERE s.product_id = changed.product_id)
    UNION ALL
    SELECT product_id, ARRAY['missing'], ARRAY['a file of it is missing']
    FROM unnest(CAST(:missing AS bigint[])) missing (product_id)
    WHERE NOT EXISTS (SELECT FROM found s WHERE s.product_id = missing.product_id)
      AND missing.product_id <> ALL (CAST(:changed AS bigint[]))
    UNION ALL
    SELECT product_id, ARRAY[code], ARRAY[reason] FROM recalled
),
stale AS (
    SELECT b.number, jsonb_agg(jsonb_build_object(
               'product_id', p.product_id, 'kind', p.kind, 'name', p.name, 'path', k.folder || '/' || k.name,
               'codes', r.codes, 'reasons', r.reasons) ORDER BY p.product_id) AS products
    FROM reason r
    JOIN (SELECT a.number, m.product_id FROM asked a CROSS JOIN LATERAL unnest(a.all_products) m (product_id)) b
        USING (product_id)
    JOIN product p USING (product_id)
    JOIN product_key k ON k.product_key_id = p.product_key_id
    GROUP BY b.number
),
in_force AS (
    SELECT a.number, m.product_id FROM asked a CROSS JOIN LATERAL unnest(a.in_force) m (product_id)
),
covered AS (
    SELECT b.number, i.exposure_id FROM in_force b JOIN product_input i USING (product_id)
    UNION ALL
    SELECT b.number, x.exposure_id FROM in_force b JOIN product_exclusion x USING (product_id)
),
eligible AS MATERIALIZED (
    SELECT exposure_id, rootname, visit, solution_id FROM eligible_exposure
),
wanted AS (
    SELECT a.number, e.exposure_id, e.rootname FROM asked a JOIN eligible e ON e.visit = a.visit
    UNION ALL
    SELECT a.number, g.exposure_id, g.rootname FROM asked a JOIN grism_exposure g ON g.visit = a.visit
    UNION ALL
    SELECT a.number, e.exposure_id, e.rootname
    FROM asked a
    JOIN solution_sky_cell t ON t.sky_cell_id = a.sky_cell_id
    JOIN eligible e ON e.solution_id = t.solution_id
    UNION ALL
    SELECT a.number, e.exposure_id, e.rootname
    FROM asked a
    JOIN product p ON p.product_id = a.number
    JOIN wcs_solution s ON s.footprint && CAST(p.grid ->> 'footprint' AS int8multirange)
    JOIN eligible e ON e.solution_id = s.solution_id
    WHERE a.field IS NOT NULL
),
unused AS (
    SELECT w.number, array_agg(w.rootname ORDER BY w.rootname) AS rootnames
    FROM wanted w
    WHERE NOT EXISTS (SELECT FROM covered c WHERE (c.number, c.exposure_id) = (w.number, w.exposure_id))
    GROUP BY w.number
)
SELECT CASE WHEN a.visit IS NOT NULL THEN 'visit' WHEN a.sky_cell_id IS NOT NULL THEN 'tile' ELSE 'field' END AS target_kind,
       coalesce(a.visit, l.name, a.field) AS target, a.folder, p.request, p.grid -> 'field' AS field,
       coalesce(s.products, '[]') AS products, coalesce(u.rootnames, '{}') AS unused
FROM asked a
JOIN product p ON p.product_id = a.number
LEFT JOIN sky_cell l ON l.sky_cell_id = a.sky_cell_id
LEFT JOIN stale s USING (number)
LEFT JOIN unused u USING (number)
WHERE s.number IS NOT NULL OR u.number IS NOT NULL
ORDER BY a.visit IS NULL, a.sky_cell_id IS NULL, target, a.folder, a.split_by
