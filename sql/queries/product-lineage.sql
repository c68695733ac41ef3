-- title: Everything a product was made from, down to files and Gaia answers
-- sentence: Walks from a product to its files, masks and WCS solutions, from each fitted solution to the one it
--     began with and to the Gaia answers it used; one row for each thing, with the run that made it.
-- param product text: name, path or number of the product; a name or path means the current one
WITH RECURSIVE start AS (
    SELECT p.product_id
    FROM current_product p
    WHERE p.name = :product OR p.path = :product
    UNION
    SELECT p.product_id
    FROM product p
    WHERE CAST(p.product_id AS text) = :product
),
edge AS (
    SELECT 'product' AS kind, i.product_id AS id, 'file' AS source_kind, i.file_id AS source_id
    FROM product_input i
    UNION ALL
    SELECT 'product', i.product_id, 'solution', i.solution_id
    FROM product_input i
    UNION ALL
    SELECT 'product', i.product_id, 'mask', i.mask_id
    FROM product_input i
    WHERE i.mask_id IS NOT NULL
    UNION ALL
    SELECT 'mask', m.mask_id, 'solution', m.solution_id
    FROM exposure_mask m
    UNION ALL
    SELECT 'solution', t.solution_id, 'solution', t.from_solution_id
    FROM alignment_attempt t
    WHERE t.outcome = 'accepted'
    UNION ALL
    SELECT 'solution', t.solution_id, 'reference query', q.reference_query_id
    FROM alignment_attempt t
    JOIN attempt_reference_query q USING (attempt_id)
    WHERE t.outcome = 'accepted'
),
lineage AS (
    SELECT 'product' AS kind, product_id AS id, 0 AS depth
    FROM start
    UNION
    SELECT e.source_kind, e.source_id, l.depth + 1
    FROM lineage l
    JOIN edge e ON e.kind = l.kind AND e.id = l.id
)
CYCLE kind, id SET is_cycle USING path,
thing AS (
    SELECT kind, id, min(depth) AS depth
    FROM lineage
    WHERE NOT is_cycle
    GROUP BY kind, id
)
SELECT t.depth, t.kind, t.id,
       coalesce(p.name, x.rootname || '_' || f.suffix, xm.rootname, xs.rootname || ' ' || s.wcsname,
                q.release || ' from ' || q.service) AS name,
       coalesce(p.pixels_sha256, f.sha256, m.sha256, s.transformation_sha256, q.answer_sha256) AS sha256,
       r.run_id, r.command, r.started, r.hapctl_version
FROM thing t
LEFT JOIN product p ON t.kind = 'product' AND p.product_id = t.id
LEFT JOIN exposure_file f ON t.kind = 'file' AND f.file_id = t.id
LEFT JOIN exposure x ON x.exposure_id = f.exposure_id
LEFT JOIN exposure_mask m ON t.kind = 'mask' AND m.mask_id = t.id
LEFT JOIN exposure xm ON xm.exposure_id = m.exposure_id
LEFT JOIN wcs_solution s ON t.kind = 'solution' AND s.solution_id = t.id
LEFT JOIN exposure xs ON xs.exposure_id = s.exposure_id
LEFT JOIN reference_query q ON t.kind = 'reference query' AND q.reference_query_id = t.id
JOIN run r ON r.run_id = coalesce(p.run_id, f.run_id, m.run_id, s.run_id, q.run_id)
ORDER BY t.depth, t.kind, t.id
