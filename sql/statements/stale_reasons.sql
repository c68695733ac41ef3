SELECT product_id, code, reason FROM stale_product_reason WHERE product_id = ANY(:product_ids) ORDER BY product_id, code, reason
