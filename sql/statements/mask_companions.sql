-- The masks that were made in one comparison with a mask: of the same inputs and parameters, one for each exposure.
SELECT DISTINCT ON (m.exposure_id) m.exposure_id, m.file_id, m.solution_id, m.mask_id
FROM exposure_mask m
JOIN exposure_mask o USING (inputs_sha256, parameters_sha256)
WHERE o.mask_id = :mask_id
ORDER BY m.exposure_id, m.mask_id DESC
