UPDATE exposure_mask_current SET during = tstzrange(lower(during), clock_timestamp()), closed_run_id = :run_id
WHERE exposure_id = :exposure_id AND upper_inf(during) AND mask_id IS DISTINCT FROM :mask_id
