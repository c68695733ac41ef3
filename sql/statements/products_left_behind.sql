-- Stale products of a visit or tile in a folder, other than those just planned: nothing makes them again.
SELECT c.product_id, c.kind, c.name, c.path, c.detector, c.filter, c.nx, c.ny, s.reasons
FROM current_product c
JOIN product_key k USING (product_key_id)
JOIN stale_product s USING (product_id)
WHERE k.folder = :folder
  AND (c.visit = CAST(:visit AS text) OR c.sky_cell = CAST(:tile AS text))
  AND c.name <> ALL (CAST(:planned AS text[]))
ORDER BY c.name
