-- The solutions an exposure could begin with: usable, with the distortion of the one in force, or of a newer delivery
-- of a file that was fitted here; newest first, and which of them is the primary one of a file in force.
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
SELECT b.exposure_id, b.solution_id, b.wcsname,
       EXISTS (SELECT FROM wcs_location l
               JOIN exposure_file_current c ON c.file_id = l.file_id AND upper_inf(c.during)
               WHERE l.solution_id = b.solution_id AND l.place = 'primary') AS is_primary
FROM wcs_active a
JOIN wcs_solution s USING (exposure_id, solution_id)
LEFT JOIN newer_distortion d USING (exposure_id)
JOIN wcs_solution b ON b.exposure_id = a.exposure_id AND b.base IS NOT DISTINCT FROM COALESCE(d.base, s.base)
WHERE a.exposure_id = ANY (CAST(:exposure_ids AS bigint[])) AND upper_inf(a.during) AND b.problem IS NULL
  AND b.kind <> 'fit'
ORDER BY b.exposure_id, b.solution_id DESC
