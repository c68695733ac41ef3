-- The new range begins where the last one ended, at this instant or, had the clock stepped back, then.
INSERT INTO wcs_active (exposure_id, solution_id, during, origin, reason, frame, run_id)
SELECT :exposure_id, :solution_id,
       tstzrange(greatest(clock_timestamp(), (SELECT max(upper(a.during)) FROM wcs_active a
                                              WHERE a.exposure_id = :exposure_id)), NULL),
       :origin, :reason, :frame, :run_id
