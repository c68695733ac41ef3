UPDATE exposure_file_current SET during = tstzrange(lower(during), clock_timestamp()), closed_run_id = :run_id
WHERE exposure_id = :exposure_id AND suffix = :suffix AND upper_inf(during)
