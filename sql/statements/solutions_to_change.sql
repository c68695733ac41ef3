-- What is to be put in force, what is now, and whether it would be in force without the other members of its group.
SELECT c.exposure_id, c.solution_id, e.rootname, s.wcsname,
       coalesce(s.problem, (SELECT 'it was recalled: ' || string_agg(DISTINCT w.reason, '; ')
                            FROM recalled_solution r JOIN recall_in_force w USING (recall_id)
                            WHERE r.solution_id = c.solution_id)) AS problem,
       a.solution_id AS active_id,
       a.frame AS active_frame, a.origin AS active_origin,
       CASE WHEN EXISTS (
           SELECT FROM wcs_solution o
           WHERE o.alignment_group_id = s.alignment_group_id AND o.exposure_id <> c.exposure_id
             AND o.solution_id <> ALL (CAST(:solution_ids AS bigint[]))
             AND (o.exposure_id = ANY (CAST(:exposure_ids AS bigint[]))
                  OR NOT EXISTS (SELECT FROM wcs_active n
                                 WHERE n.exposure_id = o.exposure_id AND n.solution_id = o.solution_id
                                   AND upper_inf(n.during)))
       ) THEN s.frame || ': ' || e.rootname || ' alone' END AS frame
FROM unnest(CAST(:exposure_ids AS bigint[]), CAST(:solution_ids AS bigint[])) c (exposure_id, solution_id)
LEFT JOIN exposure e ON e.exposure_id = c.exposure_id
LEFT JOIN wcs_solution s ON s.exposure_id = c.exposure_id AND s.solution_id = c.solution_id
LEFT JOIN wcs_active a ON a.exposure_id = c.exposure_id AND upper_inf(a.during)
ORDER BY c.exposure_id
