INSERT INTO recalled_mask (recall_id, exposure_id, mask_id, was_current)
SELECT :recall_id, m.exposure_id, m.mask_id,
       EXISTS (SELECT FROM exposure_mask_current c
               WHERE c.exposure_id = m.exposure_id AND c.mask_id = m.mask_id AND upper_inf(c.during))
FROM exposure_mask m
WHERE m.mask_id = ANY (CAST(:ids AS bigint[]))
RETURNING exposure_id, was_current
