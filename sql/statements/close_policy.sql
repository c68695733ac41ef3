UPDATE policy_active SET during = tstzrange(lower(during), clock_timestamp()), closed_run_id = :run_id
WHERE kind = :kind AND upper_inf(during)
