SELECT exposure_id, rootname, visit, instrument, detector, filter, exclusion_reason
FROM exposure WHERE rootname = :rootname
