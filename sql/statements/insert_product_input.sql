INSERT INTO product_input (product_id, exposure_id, file_id, solution_id, mask_id, sky)
VALUES (:product_id, :exposure_id, :file_id, :solution_id, :mask_id, :sky)
