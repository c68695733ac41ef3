SELECT policy_id, name, version, content FROM policy
WHERE kind = :kind AND name = :name AND (CAST(:version AS integer) IS NULL OR version = :version)
ORDER BY version DESC LIMIT 1
