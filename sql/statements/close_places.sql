UPDATE file_location SET during = tstzrange(lower(during), clock_timestamp()), closed_run_id = :run_id
WHERE location_id = ANY(:location_ids) AND upper_inf(during)
