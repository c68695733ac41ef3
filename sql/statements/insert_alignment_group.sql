INSERT INTO alignment_group (scope, scope_name, visit, detector, kind, catalog, inputs_sha256, policy_id, run_id)
VALUES ('visit', :visit, :visit, :detector, :kind, :catalog, :inputs_sha256, :policy_id, :run_id)
RETURNING alignment_group_id
