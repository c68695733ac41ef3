INSERT INTO product_policy_same (product_id, policy_id, run_id)
SELECT unnest(CAST(:product_ids AS bigint[])), :policy_id, :run_id
ON CONFLICT DO NOTHING
