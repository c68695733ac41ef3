-- Products of a released recall that may be in force again: no other recall holds them, and no product took their place.
SELECT r.product_id
FROM recalled_product r
JOIN product p USING (product_id)
WHERE r.recall_id = :recall_id AND r.was_current
  AND NOT EXISTS (SELECT FROM recalled_product o JOIN recall_in_force USING (recall_id) WHERE o.product_id = r.product_id)
  AND NOT EXISTS (SELECT FROM product_current n WHERE n.product_key_id = p.product_key_id AND upper_inf(n.during))
ORDER BY r.product_id
