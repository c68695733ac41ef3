INSERT INTO alignment_group (
    scope, scope_name, visit, detector, kind, catalog, inputs_sha256, part, policy_id, figures, run_id
)
VALUES (
    :scope, :scope_name, :visit, :detector, :kind, :catalog, :inputs_sha256, :part, :policy_id,
    CAST(:figures AS jsonb), :run_id
)
RETURNING alignment_group_id
