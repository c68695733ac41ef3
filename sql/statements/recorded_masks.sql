-- Masks by number, with what they were made from.
SELECT m.mask_id, m.exposure_id, e.rootname, m.file_id, m.solution_id, m.inputs_sha256, m.parameters, m.parameters_sha256,
       m.path, m.sha256, m.n_flagged, m.run_id, r.started AS moment
FROM exposure_mask m
JOIN exposure e USING (exposure_id)
JOIN run r ON r.run_id = m.run_id
WHERE m.mask_id = ANY (CAST(:mask_ids AS bigint[]))
ORDER BY e.rootname
