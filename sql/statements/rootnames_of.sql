-- The names of some exposures.
SELECT exposure_id, rootname FROM exposure WHERE exposure_id = ANY (CAST(:exposure_ids AS bigint[]))
