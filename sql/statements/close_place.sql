UPDATE file_location SET during = tstzrange(lower(during), clock_timestamp()), closed_run_id = :run_id
WHERE root_id = :root_id AND path = :path AND upper_inf(during)
