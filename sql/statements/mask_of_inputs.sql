-- The newest mask of an exposure made from these inputs with these parameters; recalled ones are not used again.
SELECT mask_id, path, sha256, n_flagged, run_id FROM exposure_mask
WHERE exposure_id = :exposure_id AND file_id = :file_id AND solution_id = :solution_id
  AND inputs_sha256 = :inputs_sha256 AND parameters_sha256 = :parameters_sha256
  AND NOT EXISTS (SELECT FROM recalled_mask r JOIN recall_in_force USING (recall_id)
                  WHERE r.mask_id = exposure_mask.mask_id)
ORDER BY mask_id DESC LIMIT 1
