INSERT INTO exposure_mask_current (exposure_id, mask_id, run_id)
SELECT :exposure_id, :mask_id, :run_id
WHERE NOT EXISTS (SELECT FROM exposure_mask_current WHERE exposure_id = :exposure_id AND upper_inf(during))
