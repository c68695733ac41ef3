-- Stale products of a visit, tile or field in a folder, other than those just planned: nothing makes them again.
SELECT c.product_id, c.kind, c.name, c.path, c.detector, c.filter, c.nx, c.ny, s.codes, s.reasons
FROM current_product c
JOIN product_key k USING (product_key_id)
JOIN stale_product s USING (product_id)
WHERE k.folder = :folder AND c.origin = 'made'
  AND (c.visit = CAST(:visit AS text) OR c.sky_cell = CAST(:tile AS text)
       OR (c.kind = 'mosaic' AND starts_with(c.name, 'hst_' || CAST(:field AS text) || '_')))
  AND c.name <> ALL (CAST(:planned AS text[]))
ORDER BY c.name
