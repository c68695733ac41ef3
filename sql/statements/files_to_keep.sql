-- The files that lie at some paths, of products that were in force there last.
SELECT DISTINCT ON (f.path) f.path, f.product_file_id, f.product_id, f.size_bytes
FROM product_file f
WHERE f.path = ANY (CAST(:paths AS text[]))
  AND EXISTS (SELECT FROM product_current n WHERE n.product_id = f.product_id)
ORDER BY f.path, f.product_file_id DESC
