-- The files of products in force; all filters are optional.
SELECT f.product_file_id, f.product_id, f.kind, f.path, f.sha256, f.size_bytes, p.origin
FROM product_current n
JOIN product p USING (product_key_id, product_id)
JOIN product_key k ON k.product_key_id = n.product_key_id
JOIN product_file f ON f.product_id = n.product_id
LEFT JOIN sky_cell c ON c.sky_cell_id = p.sky_cell_id
WHERE upper_inf(n.during)
  AND (CAST(:names AS text[]) IS NULL OR k.name = ANY (CAST(:names AS text[]))
       OR k.folder || '/' || k.name = ANY (CAST(:names AS text[])))
  AND (CAST(:visits AS text[]) IS NULL OR p.visit = ANY (CAST(:visits AS text[])))
  AND (CAST(:tile AS text) IS NULL OR c.name = :tile)
ORDER BY f.path
