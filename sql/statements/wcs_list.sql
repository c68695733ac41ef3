-- Every solution of an exposure with the places where it stands, and since when it is in force if it is.
-- Places are those in the current contents of its files (of any suffix), and headerlet files.
SELECT s.solution_id, s.wcsname, s.wcsname || '@' || s.run_id AS full_name, s.run_id, s.kind, s.base, s.mode, s.catalog,
       COALESCE(a.frame, s.frame) AS frame, s.alignment_group_id, s.nmatches, s.rms_ra_mas, s.rms_dec_mas, s.fit_geometry, s.problem,
       s.transformation_sha256, s.headerlet_sha256, s.s_region, s.keywords,
       a.during IS NOT NULL AS in_force, lower(a.during) AS since, a.origin, a.reason,
       ARRAY(SELECT l.place || CASE WHEN l.key = '' THEN '' ELSE ' ' || l.key END FROM wcs_location l
             WHERE l.solution_id = s.solution_id
             AND (l.file_id IS NULL OR EXISTS (SELECT FROM exposure_file_current c
                                               WHERE c.file_id = l.file_id AND upper_inf(c.during)))
             GROUP BY l.place, l.key ORDER BY min(l.wcs_location_id)) AS places
FROM wcs_solution s
JOIN exposure e USING (exposure_id)
LEFT JOIN wcs_active a ON a.solution_id = s.solution_id AND upper_inf(a.during)
WHERE e.rootname = :rootname
ORDER BY s.solution_id
