-- All products that were ever at the place of a product, newest first, with the time they were in force.
SELECT p.product_id, lower(n.during) AS since, upper(n.during) AS until, p.run_id, n.closed_run_id, p.pixels_sha256,
       p.parameters_sha256, p.inputs_sha256,
       (SELECT jsonb_agg(coalesce(h.path, f.path) ORDER BY f.kind)
        FROM product_file f LEFT JOIN product_file_kept h USING (product_file_id)
        WHERE f.product_id = p.product_id AND (upper_inf(n.during) OR h.path IS NOT NULL)) AS files,
       (SELECT count(*) FROM product_input i WHERE i.product_id = p.product_id) AS inputs
FROM product_key k
JOIN product p USING (product_key_id)
LEFT JOIN product_current n USING (product_key_id, product_id)
WHERE k.product_key_id = (SELECT product_key_id FROM product WHERE product_id = :product_id)
ORDER BY lower(n.during) DESC NULLS FIRST, p.product_id DESC
