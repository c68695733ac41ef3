INSERT INTO policy_active (kind, policy_id, run_id) VALUES (:kind, :policy_id, :run_id)
