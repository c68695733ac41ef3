-- Other runs that tried to fit some exposures, newest first, and what came of them.
SELECT t.run_id, r.started, array_agg(DISTINCT e.rootname ORDER BY e.rootname) AS rootnames,
       array_agg(DISTINCT s.wcsname ORDER BY s.wcsname) FILTER (WHERE s.wcsname IS NOT NULL) AS wcsnames,
       count(*) FILTER (WHERE t.outcome = 'refused') AS refused
FROM alignment_attempt t
JOIN exposure e USING (exposure_id)
JOIN run r ON r.run_id = t.run_id
LEFT JOIN wcs_solution s ON s.solution_id = t.solution_id
WHERE t.exposure_id = ANY (CAST(:exposure_ids AS bigint[])) AND t.run_id <> :run_id
GROUP BY t.run_id, r.started
ORDER BY t.run_id DESC
