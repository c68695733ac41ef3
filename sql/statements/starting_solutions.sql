-- Where an alignment begins: the solution in force, unless that is a fit. Of a fit made here, the solution that a newer
-- delivery of the file has brought since (its distortion may be better), else the one it began with; of another fit NULL:
-- the order of preference chooses. So fits are never piled on fits.
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
            ORDER BY t.attempt_id DESC LIMIT 1)) AS solution_id,
       a.solution_id AS active_id, a.origin = 'manual' AS by_hand
FROM wcs_active a
JOIN wcs_solution s USING (exposure_id, solution_id)
WHERE a.exposure_id = ANY (CAST(:exposure_ids AS bigint[])) AND upper_inf(a.during)
ORDER BY a.exposure_id
