-- What was in force for an exposure before a run changed that, where what the run put in force still is.
SELECT b.solution_id, b.origin, b.reason
FROM wcs_active a
JOIN wcs_active b ON b.exposure_id = a.exposure_id AND upper(b.during) <= lower(a.during)
WHERE a.exposure_id = :exposure_id AND upper_inf(a.during) AND a.run_id = :run_id
ORDER BY upper(b.during) DESC
LIMIT 1
