SELECT policy_id FROM policy
WHERE kind = :kind AND name = :name AND content = CAST(:content AS jsonb) ORDER BY version DESC LIMIT 1
