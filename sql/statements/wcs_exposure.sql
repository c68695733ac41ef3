SELECT exposure_id, rootname, visit, instrument, detector, filter,
       COALESCE(exclusion_reason,
                (SELECT 'withdrawn: ' || w.reason FROM exposure_withdrawal w
                 WHERE w.exposure_id = exposure.exposure_id AND upper_inf(w.during))) AS exclusion_reason
FROM exposure WHERE rootname = :rootname
