-- Stale products of a visit, tile or field in a folder, split in the same way, other than those just planned: nothing makes
-- them again. Whole layers and those of epochs may stand side by side; each are for commands that ask for such.
SELECT c.product_id, c.kind, c.name, c.path, c.detector, c.filter, c.nx, c.ny, s.codes, s.reasons
FROM current_product c
JOIN product_key k USING (product_key_id)
JOIN product p USING (product_id)
JOIN stale_product s USING (product_id)
WHERE k.folder = :folder AND c.origin = 'made'
  AND (c.visit = CAST(:visit AS text) OR c.sky_cell = CAST(:tile AS text)
       OR (c.kind = 'mosaic' AND starts_with(c.name, 'hst_' || CAST(:field AS text) || '_')))
  AND (c.visit IS NOT NULL OR coalesce(p.request ->> 'split_by', '') = :split_by)
  AND c.name <> ALL (CAST(:planned AS text[]))
ORDER BY c.name
