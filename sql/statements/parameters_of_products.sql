SELECT DISTINCT ON (p.parameters_sha256) p.parameters_sha256, p.parameters
FROM product_current n
JOIN product p USING (product_key_id, product_id)
WHERE upper_inf(n.during) AND p.origin = 'made'
ORDER BY p.parameters_sha256
