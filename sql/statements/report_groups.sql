-- Groups of exposures that were fitted together.
SELECT alignment_group_id, scope, scope_name, detector, kind, catalog, figures, run_id
FROM alignment_group
WHERE alignment_group_id = ANY (CAST(:alignment_group_ids AS bigint[]))
ORDER BY alignment_group_id
