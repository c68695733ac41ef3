INSERT INTO alignment_group (visit, detector, kind, catalog, inputs_sha256, policy_id, run_id)
VALUES (:visit, :detector, :kind, :catalog, :inputs_sha256, :policy_id, :run_id)
RETURNING alignment_group_id
