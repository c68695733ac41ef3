-- The products in force, with whether they are stale; all filters are optional.
SELECT c.product_id, c.kind, c.name, c.path, c.visit, c.sky_cell, c.instrument, c.detector, c.filter, c.nx, c.ny,
       c.wcs_policy, c.run_id, c.since, coalesce(s.codes, '{}') AS stale, coalesce(s.reasons, '{}') AS reasons
FROM current_product c
LEFT JOIN stale_product s USING (product_id)
WHERE (CAST(:visits AS text[]) IS NULL OR c.visit = ANY (CAST(:visits AS text[])))
  AND (CAST(:tile AS text) IS NULL OR c.sky_cell = :tile)
  AND (CAST(:kinds AS text[]) IS NULL OR c.kind = ANY (CAST(:kinds AS text[])))
  AND (CAST(:run AS bigint) IS NULL OR c.run_id = :run)
  AND (CAST(:before AS timestamptz) IS NULL OR c.since < :before)
  AND (NOT :stale_only OR s.product_id IS NOT NULL)
ORDER BY c.path
