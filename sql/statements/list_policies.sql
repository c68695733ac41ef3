SELECT p.policy_id, p.kind, p.name, p.version, p.run_id, lower(a.during) AS since
FROM policy p
LEFT JOIN policy_active a ON a.policy_id = p.policy_id AND upper_inf(a.during)
WHERE CAST(:kind AS text) IS NULL OR p.kind = :kind
ORDER BY p.kind, p.name, p.version
