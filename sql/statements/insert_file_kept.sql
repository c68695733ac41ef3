INSERT INTO product_file_kept (product_file_id, path, run_id) VALUES (:product_file_id, :path, :run_id) ON CONFLICT DO NOTHING
