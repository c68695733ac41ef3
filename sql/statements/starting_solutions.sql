-- Where an alignment begins: the solution in force, unless that is a fit. Of a fit made here, the solution that a newer
-- delivery of the file has brought since (its distortion may be better), else the one it began with; of another fit, and
-- where a fit came with the newer distortion, NULL: the order of preference chooses. So fits are never piled on fits.
WITH newer_distortion AS (
    SELECT DISTINCT ON (a.exposure_id) a.exposure_id, n.base
    FROM wcs_active a
    JOIN wcs_solution s USING (exposure_id, solution_id)
    JOIN wcs_solution p ON p.exposure_id = a.exposure_id AND p.base <> s.base
    JOIN wcs_location o ON o.solution_id = p.solution_id AND o.place = 'primary'
    JOIN exposure_file_current c ON c.file_id = o.file_id AND upper_inf(c.during)
    JOIN wcs_location l ON l.file_id = o.file_id
    JOIN wcs_solution n ON n.solution_id = l.solution_id AND n.base = p.base
    WHERE a.exposure_id = ANY (CAST(:exposure_ids AS bigint[])) AND upper_inf(a.during)
      AND s.kind = 'fit' AND s.alignment_group_id IS NOT NULL
      AND n.kind <> 'fit' AND n.problem IS NULL AND n.run_id > s.run_id
    ORDER BY a.exposure_id, n.solution_id DESC
)
SELECT a.exposure_id,
       COALESCE(
           CASE WHEN s.kind <> 'fit' THEN s.solution_id END,
           (SELECT n.solution_id FROM wcs_solution n
            JOIN wcs_location l USING (solution_id)
            JOIN exposure_file_current c ON c.file_id = l.file_id AND upper_inf(c.during)
            WHERE n.exposure_id = a.exposure_id AND s.alignment_group_id IS NOT NULL AND l.place = 'primary'
              AND n.kind <> 'fit' AND n.problem IS NULL AND n.run_id > s.run_id
            ORDER BY n.solution_id DESC LIMIT 1),
           (SELECT t.from_solution_id FROM alignment_attempt t
            WHERE t.exposure_id = a.exposure_id AND t.solution_id = a.solution_id AND s.alignment_group_id IS NOT NULL
              AND d.base IS NULL
            ORDER BY t.attempt_id DESC LIMIT 1)) AS solution_id,
       a.solution_id AS active_id, a.origin = 'manual' AS by_hand
FROM wcs_active a
JOIN wcs_solution s USING (exposure_id, solution_id)
LEFT JOIN newer_distortion d USING (exposure_id)
WHERE a.exposure_id = ANY (CAST(:exposure_ids AS bigint[])) AND upper_inf(a.during)
ORDER BY a.exposure_id
