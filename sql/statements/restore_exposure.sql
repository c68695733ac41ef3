UPDATE exposure_withdrawal SET
    during = tstzrange(lower(during), greatest(clock_timestamp(), lower(during) + interval '1 microsecond')),
    closed_run_id = :run_id
WHERE exposure_id = :exposure_id AND upper_inf(during)
