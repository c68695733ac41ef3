SELECT DISTINCT ON (parameters_sha256) parameters_sha256, parameters FROM exposure_mask ORDER BY parameters_sha256
