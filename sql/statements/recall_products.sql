INSERT INTO recalled_product (recall_id, product_id, was_current)
SELECT :recall_id, p.product_id,
       EXISTS (SELECT FROM product_current c
               WHERE c.product_key_id = p.product_key_id AND c.product_id = p.product_id AND upper_inf(c.during))
FROM product p
WHERE p.product_id = ANY (CAST(:ids AS bigint[]))
RETURNING product_id, was_current
