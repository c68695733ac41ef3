UPDATE product_current n SET during = tstzrange(lower(n.during), clock_timestamp()), closed_run_id = :run_id
FROM product p
WHERE p.product_id = :product_id AND n.product_key_id = p.product_key_id AND upper_inf(n.during)
