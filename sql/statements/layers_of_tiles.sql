-- The layers in force of some sky tiles, unsplit, with whether they are stale; the newest first.
SELECT c.product_id, c.sky_cell, c.name, c.path, c.instrument, c.detector, c.filter, c.pixel_scale, c.pixels_sha256,
       EXISTS (SELECT FROM stale_product_reason r WHERE r.product_id = c.product_id) AS stale
FROM current_product c
WHERE c.kind = 'layer' AND c.sky_cell = ANY(:tiles) AND c.label = ''
ORDER BY c.product_id DESC
