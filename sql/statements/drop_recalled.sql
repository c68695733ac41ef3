-- Recalled products of a visit, tile or field in a folder that are not planned any more wait no longer.
INSERT INTO recalled_product_dropped (recall_id, product_id, run_id)
SELECT r.recall_id, r.product_id, :run_id
FROM product_awaiting_rebuild a
JOIN recalled_product r USING (product_id)
JOIN recall_in_force w ON w.recall_id = r.recall_id
WHERE a.folder = :folder
  AND (a.visit = CAST(:visit AS text) OR a.sky_cell = CAST(:tile AS text)
       OR (a.kind = 'mosaic' AND starts_with(a.name, 'hst_' || CAST(:field AS text) || '_')))
  AND a.name <> ALL (CAST(:planned AS text[])) AND r.was_current
ON CONFLICT DO NOTHING
