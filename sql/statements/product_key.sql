WITH made AS (
    INSERT INTO product_key (folder, name, run_id) VALUES (:folder, :name, :run_id)
    ON CONFLICT (folder, name) DO NOTHING RETURNING product_key_id
)
SELECT product_key_id FROM made
UNION ALL
SELECT product_key_id FROM product_key WHERE folder = :folder AND name = :name
LIMIT 1
