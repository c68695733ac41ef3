SELECT alignment_group_id, kind, catalog, run_id FROM alignment_group
WHERE inputs_sha256 = :inputs_sha256 ORDER BY part
