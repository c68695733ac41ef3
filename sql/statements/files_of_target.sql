-- The files of the products in force of a visit or a tile in a folder, for its manifest.
SELECT p.name, p.instrument, ARRAY(SELECT regexp_replace(f.path, '^.*/', '') FROM product_file f
                                   WHERE f.product_id = p.product_id ORDER BY f.kind, f.path) AS files
FROM product_current n
JOIN product p USING (product_key_id, product_id)
JOIN product_key k USING (product_key_id)
LEFT JOIN sky_cell c ON c.sky_cell_id = p.sky_cell_id
WHERE upper_inf(n.during) AND p.origin = 'made' AND k.folder = :folder
  AND (p.visit = CAST(:visit AS text) OR c.name = CAST(:tile AS text))
ORDER BY p.name
