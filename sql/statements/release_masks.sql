-- Masks of a released recall that may be in force again: no other recall holds them, and their exposure has none now.
SELECT r.exposure_id, r.mask_id
FROM recalled_mask r
WHERE r.recall_id = :recall_id AND r.was_current
  AND NOT EXISTS (SELECT FROM recalled_mask o JOIN recall_in_force USING (recall_id) WHERE o.mask_id = r.mask_id)
  AND NOT EXISTS (SELECT FROM exposure_mask_current n WHERE n.exposure_id = r.exposure_id AND upper_inf(n.during))
