INSERT INTO product_exclusion (product_id, exposure_id, solution_id, code, reason)
VALUES (:product_id, :exposure_id, :solution_id, :code, :reason)
