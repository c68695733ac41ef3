-- Products in force that cut-outs are taken from: of a visit, of tiles, or under a name or path.
SELECT c.kind, c.name, c.path, c.sky_cell, c.instrument, c.detector, c.filter, c.label, c.pixel_scale
FROM current_product c
WHERE c.kind IN ('exposure', 'filter', 'total', 'layer', 'mosaic')
  AND (c.visit = CAST(:visit AS text) OR c.sky_cell = ANY (CAST(:tiles AS text[]))
       OR c.name = ANY (CAST(:names AS text[])) OR c.path = ANY (CAST(:names AS text[])))
ORDER BY c.path
