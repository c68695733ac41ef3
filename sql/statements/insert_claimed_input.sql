INSERT INTO product_claimed_input (product_id, number, file_name, rootname, extver, wcsname, exposure_time, exposure_id,
                                   solution_id)
VALUES (:product_id, :number, :file_name, :rootname, :extver, :wcsname, :exposure_time, :exposure_id, :solution_id)
