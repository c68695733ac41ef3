SELECT c.exposure_id
FROM unnest(CAST(:exposure_ids AS bigint[]), CAST(:solution_ids AS bigint[])) c (exposure_id, solution_id)
LEFT JOIN wcs_active a ON a.exposure_id = c.exposure_id AND upper_inf(a.during)
WHERE a.solution_id IS DISTINCT FROM c.solution_id
ORDER BY c.exposure_id
