-- All that came of something: nodes with what each came from, depth first by number. Descent goes over files, answers of
-- reference catalogs, attempts, solutions and masks to products. Of a file, attempts made while it was in force; of an attempt,
-- the solutions of its whole group, for a joint fit mixes all exposures; of a mask, those compared with it.
WITH RECURSIVE node (kind, id, from_kind, from_id) AS (
    SELECT CAST(:kind AS text), CAST(:id AS bigint), CAST(NULL AS text), CAST(NULL AS bigint)
    UNION
    SELECT e.kind, e.id, n.kind, n.id
    FROM node n
    CROSS JOIN LATERAL (
        SELECT 'file' AS kind, f.file_id AS id FROM exposure_file f WHERE n.kind = 'run' AND f.run_id = n.id
        UNION ALL
        SELECT 'query', q.reference_query_id FROM reference_query q WHERE n.kind = 'run' AND q.run_id = n.id
        UNION ALL
        SELECT 'attempt', t.attempt_id FROM alignment_attempt t
        WHERE n.kind = 'run' AND t.run_id = n.id AND t.outcome = 'accepted'
        UNION ALL
        SELECT 'solution', s.solution_id FROM wcs_solution s WHERE n.kind = 'run' AND s.run_id = n.id
        UNION ALL
        SELECT 'mask', m.mask_id FROM exposure_mask m WHERE n.kind = 'run' AND m.run_id = n.id
        UNION ALL
        SELECT 'product', p.product_id FROM product p WHERE n.kind = 'run' AND p.run_id = n.id
        UNION ALL
        SELECT 'attempt', a.attempt_id FROM attempt_reference_query a JOIN alignment_attempt t USING (attempt_id)
        WHERE n.kind = 'query' AND a.reference_query_id = n.id AND t.outcome = 'accepted'
        UNION ALL
        SELECT 'attempt', t.attempt_id
        FROM exposure_file f
        JOIN alignment_attempt t ON t.exposure_id = f.exposure_id AND t.outcome = 'accepted'
        JOIN run r ON r.run_id = t.run_id
        WHERE n.kind = 'file' AND f.file_id = n.id
          AND EXISTS (SELECT FROM exposure_file_current c WHERE c.file_id = f.file_id AND c.during @> r.started)
        UNION ALL
        SELECT 'attempt', t.attempt_id
        FROM wcs_solution s
        JOIN alignment_attempt t ON t.exposure_id = s.exposure_id AND t.from_solution_id = s.solution_id
        WHERE n.kind = 'solution' AND s.solution_id = n.id AND t.outcome = 'accepted'
        UNION ALL
        SELECT 'solution', t.solution_id FROM alignment_attempt t WHERE n.kind = 'attempt' AND t.attempt_id = n.id
        UNION ALL
        SELECT 'solution', s.solution_id
        FROM alignment_attempt t
        JOIN wcs_solution s ON s.alignment_group_id = t.alignment_group_id
        WHERE n.kind = 'attempt' AND t.attempt_id = n.id
        UNION ALL
        SELECT 'mask', m.mask_id
        FROM exposure_file f
        JOIN exposure_mask m ON m.exposure_id = f.exposure_id AND m.file_id = f.file_id
        WHERE n.kind = 'file' AND f.file_id = n.id
        UNION ALL
        SELECT 'mask', m.mask_id
        FROM wcs_solution s
        JOIN exposure_mask m ON m.exposure_id = s.exposure_id AND m.solution_id = s.solution_id
        WHERE n.kind = 'solution' AND s.solution_id = n.id
        UNION ALL
        SELECT 'mask', m.mask_id
        FROM exposure_mask o
        JOIN exposure x ON x.exposure_id = o.exposure_id
        JOIN exposure y ON y.visit = x.visit
        JOIN exposure_mask m ON m.exposure_id = y.exposure_id AND m.inputs_sha256 = o.inputs_sha256
            AND m.parameters_sha256 = o.parameters_sha256
        WHERE n.kind = 'mask' AND o.mask_id = n.id AND m.mask_id <> n.id
        UNION ALL
        SELECT 'product', i.product_id
        FROM exposure_file f
        JOIN product_input i ON i.exposure_id = f.exposure_id AND i.file_id = f.file_id
        WHERE n.kind = 'file' AND f.file_id = n.id
        UNION ALL
        SELECT 'product', i.product_id
        FROM wcs_solution s
        JOIN product_input i ON i.exposure_id = s.exposure_id AND i.solution_id = s.solution_id
        WHERE n.kind = 'solution' AND s.solution_id = n.id
        UNION ALL
        SELECT 'product', i.product_id
        FROM exposure_mask m
        JOIN product_input i ON i.exposure_id = m.exposure_id AND i.mask_id = m.mask_id
        WHERE n.kind = 'mask' AND m.mask_id = n.id
        UNION ALL
        SELECT 'product', c.product_id
        FROM wcs_solution s
        JOIN product_claimed_input c ON c.exposure_id = s.exposure_id AND c.solution_id = s.solution_id
        WHERE n.kind = 'solution' AND s.solution_id = n.id
        UNION ALL
        SELECT 'product', c.product_id
        FROM wcs_solution s
        JOIN exposure x ON x.exposure_id = s.exposure_id
        JOIN product_claimed_input c ON c.exposure_id IS NULL AND c.rootname = x.rootname AND c.wcsname = s.wcsname
        WHERE n.kind = 'solution' AND s.solution_id = n.id
        UNION ALL
        SELECT 'product', p.product_id
        FROM wcs_solution s
        JOIN exposure x ON x.exposure_id = s.exposure_id
        JOIN product p ON p.visit = x.visit
        WHERE n.kind = 'solution' AND s.solution_id = n.id
          AND EXISTS (SELECT FROM jsonb_array_elements(p.grid -> 'members') m
                      WHERE m = jsonb_build_array(s.exposure_id, s.solution_id))
    ) e
)
SELECT n.kind, n.id, n.from_kind, n.from_id,
       CASE n.kind
           WHEN 'run' THEN r.command || ' of ' || to_char(r.started AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI')
           WHEN 'file' THEN fx.rootname || '_' || f.suffix || ' (sha256 ' || left(f.sha256, 12) || ')'
           WHEN 'query' THEN q.release || ' ' || q.region
           WHEN 'attempt' THEN tx.rootname || ', ' || t.method || coalesce(' to ' || t.catalog, '')
           WHEN 'solution' THEN s.wcsname || ' of ' || sx.rootname
           WHEN 'mask' THEN mx.rootname
           ELSE k.folder || '/' || k.name
       END AS label,
       coalesce(sx.exposure_id, mx.exposure_id, fx.exposure_id) AS exposure_id,
       coalesce(sx.rootname, mx.rootname, fx.rootname) AS rootname,
       coalesce(p.visit, sx.visit, mx.visit, fx.visit) AS visit, c.name AS sky_cell,
       CASE n.kind
           WHEN 'product' THEN EXISTS (SELECT FROM product_current o WHERE o.product_id = n.id AND upper_inf(o.during))
           WHEN 'mask' THEN EXISTS (SELECT FROM exposure_mask_current o
                                    WHERE o.exposure_id = m.exposure_id AND o.mask_id = n.id AND upper_inf(o.during))
           WHEN 'solution' THEN EXISTS (SELECT FROM wcs_active o WHERE o.solution_id = n.id AND upper_inf(o.during))
           WHEN 'file' THEN EXISTS (SELECT FROM exposure_file_current o WHERE o.file_id = n.id AND upper_inf(o.during))
       END AS in_force,
       CASE n.kind
           WHEN 'product' THEN EXISTS (SELECT FROM recalled_product o JOIN recall_in_force USING (recall_id)
                                       WHERE o.product_id = n.id)
           WHEN 'mask' THEN EXISTS (SELECT FROM recalled_mask o JOIN recall_in_force USING (recall_id)
                                    WHERE o.mask_id = n.id)
           WHEN 'solution' THEN EXISTS (SELECT FROM recalled_solution o JOIN recall_in_force USING (recall_id)
                                        WHERE o.solution_id = n.id)
           WHEN 'file' THEN EXISTS (SELECT FROM recalled_file o JOIN recall_in_force USING (recall_id)
                                    WHERE o.file_id = n.id)
           WHEN 'query' THEN EXISTS (SELECT FROM recalled_query o JOIN recall_in_force USING (recall_id)
                                     WHERE o.reference_query_id = n.id)
           ELSE true
       END AS recalled
FROM node n
LEFT JOIN run r ON n.kind = 'run' AND r.run_id = n.id
LEFT JOIN exposure_file f ON n.kind = 'file' AND f.file_id = n.id
LEFT JOIN exposure fx ON fx.exposure_id = f.exposure_id
LEFT JOIN reference_query q ON n.kind = 'query' AND q.reference_query_id = n.id
LEFT JOIN alignment_attempt t ON n.kind = 'attempt' AND t.attempt_id = n.id
LEFT JOIN exposure tx ON tx.exposure_id = t.exposure_id
LEFT JOIN wcs_solution s ON n.kind = 'solution' AND s.solution_id = n.id
LEFT JOIN exposure sx ON sx.exposure_id = s.exposure_id
LEFT JOIN exposure_mask m ON n.kind = 'mask' AND m.mask_id = n.id
LEFT JOIN exposure mx ON mx.exposure_id = m.exposure_id
LEFT JOIN product p ON n.kind = 'product' AND p.product_id = n.id
LEFT JOIN product_key k ON k.product_key_id = p.product_key_id
LEFT JOIN sky_cell c ON c.sky_cell_id = p.sky_cell_id
ORDER BY n.kind, n.id, n.from_kind, n.from_id
