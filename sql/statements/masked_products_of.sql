SELECT DISTINCT n.product_id
FROM product_input i
JOIN product_current n ON n.product_id = i.product_id AND upper_inf(n.during)
JOIN product p ON p.product_id = n.product_id
WHERE i.exposure_id = ANY (CAST(:exposure_ids AS bigint[])) AND p.parameters -> 'cosmic_ray_masks' = 'true'::jsonb
