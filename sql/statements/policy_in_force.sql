SELECT p.policy_id, p.name, p.version, p.content
FROM policy_active a JOIN policy p USING (policy_id) WHERE a.kind = :kind AND upper_inf(a.during)
