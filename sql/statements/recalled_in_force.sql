-- Exposures whose solution in force is recalled by a recall, with what was in force before it and may be again.
SELECT a.exposure_id, e.rootname, s.wcsname, b.solution_id AS before_id, b.origin AS before_origin, b.wcsname AS before_name
FROM wcs_active a
JOIN recalled_solution r ON r.solution_id = a.solution_id AND r.recall_id = :recall_id
JOIN exposure e ON e.exposure_id = a.exposure_id
JOIN wcs_solution s ON s.solution_id = a.solution_id
LEFT JOIN LATERAL (
    SELECT o.solution_id, o.origin, g.wcsname
    FROM wcs_active o
    JOIN wcs_solution g ON g.solution_id = o.solution_id
    WHERE o.exposure_id = a.exposure_id AND NOT upper_inf(o.during) AND g.problem IS NULL
      AND NOT EXISTS (SELECT FROM recalled_solution c JOIN recall_in_force USING (recall_id)
                      WHERE c.solution_id = o.solution_id)
    ORDER BY upper(o.during) DESC
    LIMIT 1
) b ON true
WHERE upper_inf(a.during)
ORDER BY a.exposure_id
