SELECT solution_id, wcsname, transformation_sha256 FROM wcs_solution WHERE exposure_id = :exposure_id
