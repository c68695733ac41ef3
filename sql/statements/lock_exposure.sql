SELECT exposure_id FROM exposure WHERE rootname = :rootname FOR NO KEY UPDATE
