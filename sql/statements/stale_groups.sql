-- Products that are asked for together (of one visit, tile or field, in one folder, split in the same way) where something is
-- stale, waits to be made again after a recall, or where an exposure is in none of them; with the newest request, which is how
-- they are asked for again. :changed are products that rules not yet in force change, :missing products that lack a file. All
-- filters are optional.
WITH made AS MATERIALIZED (
    SELECT c.product_id, c.kind, c.name, c.path, c.visit, c.sky_cell, c.sky_cell_id, k.folder, p.grid ->> 'field' AS field,
           CASE WHEN c.visit IS NULL THEN coalesce(p.request ->> 'split_by', '') ELSE '' END AS split_by, NULL AS code, NULL AS reason
    FROM current_product c
    JOIN product p USING (product_id)
    JOIN product_key k ON k.product_key_id = p.product_key_id
    WHERE p.origin = 'made'
      AND (CAST(:visits AS text[]) IS NULL AND CAST(:tiles AS text[]) IS NULL OR c.visit = ANY (CAST(:visits AS text[]))
           OR c.sky_cell = ANY (CAST(:tiles AS text[])))
      AND (CAST(:folder AS text) IS NULL OR k.folder = :folder)
    UNION ALL
    SELECT w.product_id, w.kind, w.name, w.path, w.visit, w.sky_cell, w.sky_cell_id, w.folder, p.grid ->> 'field',
           CASE WHEN w.visit IS NULL THEN coalesce(p.request ->> 'split_by', '') ELSE '' END, w.code, w.reason
    FROM product_awaiting_rebuild w
    JOIN product p USING (product_id)
    WHERE (CAST(:visits AS text[]) IS NULL AND CAST(:tiles AS text[]) IS NULL OR w.visit = ANY (CAST(:visits AS text[]))
           OR w.sky_cell = ANY (CAST(:tiles AS text[])))
      AND (CAST(:folder AS text) IS NULL OR w.folder = :folder)
),
asked AS MATERIALIZED (
    SELECT row_number() OVER () AS number, a.*
    FROM (SELECT visit, sky_cell, sky_cell_id, field, folder, split_by, max(product_id) AS newest
          FROM made
          GROUP BY visit, sky_cell, sky_cell_id, field, folder, split_by) a
),
member AS MATERIALIZED (
    SELECT a.number, m.product_id, m.code
    FROM made m
    JOIN asked a ON (a.folder, a.split_by, coalesce(a.visit, a.sky_cell, a.field))
                    = (m.folder, m.split_by, coalesce(m.visit, m.sky_cell, m.field))
),
reason AS (
    SELECT product_id, codes, reasons FROM stale_product
    UNION ALL
    SELECT product_id, ARRAY['policy'], ARRAY['its parameters or masks are others by the rules of this software']
    FROM unnest(CAST(:changed AS bigint[])) changed (product_id)
    WHERE NOT EXISTS (SELECT FROM stale_product s WHERE s.product_id = changed.product_id)
    UNION ALL
    SELECT product_id, ARRAY['missing'], ARRAY['a file of it is missing']
    FROM unnest(CAST(:missing AS bigint[])) missing (product_id)
    WHERE NOT EXISTS (SELECT FROM stale_product s WHERE s.product_id = missing.product_id)
      AND missing.product_id <> ALL (CAST(:changed AS bigint[]))
    UNION ALL
    SELECT product_id, ARRAY[code], ARRAY[reason] FROM made WHERE code IS NOT NULL
),
stale AS (
    SELECT b.number, jsonb_agg(jsonb_build_object(
               'product_id', m.product_id, 'kind', m.kind, 'name', m.name, 'path', m.path, 'codes', r.codes,
               'reasons', r.reasons) ORDER BY m.product_id) AS products
    FROM reason r
    JOIN member b USING (product_id)
    JOIN made m USING (product_id)
    GROUP BY b.number
),
covered AS (
    SELECT b.number, i.exposure_id FROM member b JOIN product_input i USING (product_id) WHERE b.code IS NULL
    UNION ALL
    SELECT b.number, x.exposure_id FROM member b JOIN product_exclusion x USING (product_id) WHERE b.code IS NULL
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
    JOIN product p ON p.product_id = a.newest
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
SELECT CASE WHEN a.visit IS NOT NULL THEN 'visit' WHEN a.sky_cell IS NOT NULL THEN 'tile' ELSE 'field' END AS target_kind,
       coalesce(a.visit, a.sky_cell, a.field) AS target, a.folder, p.request, p.grid -> 'field' AS field,
       coalesce(s.products, '[]') AS products, coalesce(u.rootnames, '{}') AS unused
FROM asked a
JOIN product p ON p.product_id = a.newest
LEFT JOIN stale s USING (number)
LEFT JOIN unused u USING (number)
WHERE s.number IS NOT NULL OR u.number IS NOT NULL
ORDER BY a.visit IS NULL, a.sky_cell IS NULL, target, a.folder, a.split_by
