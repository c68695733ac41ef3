INSERT INTO exposure_withdrawal (exposure_id, reason, run_id)
SELECT :exposure_id, :reason, :run_id
WHERE NOT EXISTS (SELECT FROM exposure_withdrawal w WHERE w.exposure_id = :exposure_id AND upper_inf(w.during))
