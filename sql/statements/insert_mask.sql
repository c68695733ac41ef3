INSERT INTO exposure_mask (exposure_id, file_id, solution_id, inputs_sha256, parameters, parameters_sha256, path,
                           sha256, size_bytes, n_flagged, run_id)
VALUES (:exposure_id, :file_id, :solution_id, :inputs_sha256, CAST(:parameters AS jsonb), :parameters_sha256, :path,
        :sha256, :size_bytes, :n_flagged, :run_id)
RETURNING mask_id
