INSERT INTO policy (kind, name, version, content, run_id)
SELECT :kind, :name, coalesce(max(version), 0) + 1, CAST(:content AS jsonb), :run_id
FROM policy WHERE kind = :kind AND name = :name
RETURNING policy_id
