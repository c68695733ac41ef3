UPDATE wcs_active SET during = tstzrange(lower(during), clock_timestamp()), closed_run_id = :run_id
WHERE exposure_id = :exposure_id AND upper_inf(during)
