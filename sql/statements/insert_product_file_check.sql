-- What was seen of a file. The right size alone does not make good what was seen damaged.
INSERT INTO product_file_check (product_file_id, state, run_id)
SELECT CAST(:product_file_id AS bigint), CAST(:state AS text), CAST(:run_id AS bigint)
WHERE CAST(:contents_read AS boolean) OR CAST(:state AS text) <> 'ok'
   OR 'damaged' IS DISTINCT FROM (SELECT c.state FROM product_file_check c
                                  WHERE c.product_file_id = CAST(:product_file_id AS bigint)
                                  ORDER BY c.product_file_check_id DESC LIMIT 1)
