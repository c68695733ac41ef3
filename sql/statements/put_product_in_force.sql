INSERT INTO product_current (product_key_id, product_id, run_id)
SELECT product_key_id, product_id, :run_id FROM product WHERE product_id = :product_id
