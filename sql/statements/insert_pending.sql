INSERT INTO product_pending (product_id, moves, run_id) VALUES (:product_id, CAST(:moves AS jsonb), :run_id)
