-- All products that were ever under a file name or path, newest first.
SELECT p.product_id, k.folder || '/' || k.name AS path,
       EXISTS (SELECT FROM product_current n WHERE n.product_id = p.product_id AND upper_inf(n.during)) AS in_force
FROM product p
JOIN product_key k USING (product_key_id)
WHERE k.name = :name OR k.folder || '/' || k.name = :name
ORDER BY p.product_id DESC
