-- The files of products made here, with the folder of each product.
SELECT p.product_id, k.folder, f.path, f.sha256
FROM product p
JOIN product_key k USING (product_key_id)
JOIN product_file f USING (product_id)
WHERE p.product_id = ANY (CAST(:ids AS bigint[])) AND p.origin = 'made'
ORDER BY p.product_id, f.path
