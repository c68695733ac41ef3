UPDATE archive_root_path SET during = tstzrange(lower(during), clock_timestamp()), closed_run_id = :run_id
WHERE root_id = :root_id AND upper_inf(during)
