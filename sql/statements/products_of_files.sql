SELECT DISTINCT n.product_id
FROM product_current n
JOIN product_file f ON f.product_id = n.product_id
WHERE upper_inf(n.during) AND f.path = ANY (CAST(:paths AS text[]))
