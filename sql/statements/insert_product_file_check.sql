INSERT INTO product_file_check (product_file_id, state, run_id) VALUES (:product_file_id, :state, :run_id)
