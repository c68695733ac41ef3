-- The product in force at a place, with its files.
SELECT p.product_id, p.inputs_sha256, p.parameters_sha256, p.policy_id, p.pixels_sha256, p.wcs_policy, p.request,
       jsonb_object_agg(f.kind, jsonb_build_object('path', f.path, 'sha256', f.sha256, 'size', f.size_bytes)) AS files
FROM product_key k
JOIN product_current n ON n.product_key_id = k.product_key_id AND upper_inf(n.during)
JOIN product p ON p.product_id = n.product_id
JOIN product_file f ON f.product_id = p.product_id
WHERE k.folder = :folder AND k.name = :name
GROUP BY p.product_id
