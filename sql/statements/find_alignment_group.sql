SELECT alignment_group_id, kind, catalog, run_id FROM alignment_group
WHERE scope = 'visit' AND scope_name = :visit AND detector = :detector AND inputs_sha256 = :inputs_sha256
