-- The solutions an exposure could begin with: usable, with the distortion of the one in force; newest first, and which
-- of them is the primary one of a file in force.
SELECT b.exposure_id, b.solution_id, b.wcsname,
       EXISTS (SELECT FROM wcs_location l
               JOIN exposure_file_current c ON c.file_id = l.file_id AND upper_inf(c.during)
               WHERE l.solution_id = b.solution_id AND l.place = 'primary') AS is_primary
FROM wcs_active a
JOIN wcs_solution s USING (exposure_id, solution_id)
JOIN wcs_solution b ON b.exposure_id = a.exposure_id AND b.base IS NOT DISTINCT FROM s.base
WHERE a.exposure_id = ANY (CAST(:exposure_ids AS bigint[])) AND upper_inf(a.during) AND b.problem IS NULL
  AND b.kind <> 'fit'
ORDER BY b.exposure_id, b.solution_id DESC
