SELECT exposure_id FROM exposure WHERE exposure_id = ANY(CAST(:exposure_ids AS bigint[]))
ORDER BY exposure_id FOR NO KEY UPDATE
