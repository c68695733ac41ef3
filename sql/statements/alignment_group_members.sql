-- The solutions of a group, found by its attempts (one may be older than the group), with what is in force now and
-- how that came about.
SELECT e.exposure_id, e.rootname, s.solution_id, s.wcsname, s.transformation_sha256, s.nmatches, s.rms_ra_mas,
       s.rms_dec_mas, s.headerlet,
       (SELECT l.key FROM wcs_location l
        WHERE l.solution_id = s.solution_id AND l.place = 'headerlet' ORDER BY l.wcs_location_id LIMIT 1) AS path,
       m.predicted_error_mas,
       a.solution_id = s.solution_id AS in_force, a.origin AS active_origin, b.wcsname AS active_wcsname
FROM wcs_solution s
JOIN exposure e USING (exposure_id)
LEFT JOIN alignment_member m ON m.alignment_group_id = :alignment_group_id AND m.exposure_id = s.exposure_id
LEFT JOIN wcs_active a ON a.exposure_id = s.exposure_id AND upper_inf(a.during)
LEFT JOIN wcs_solution b ON b.solution_id = a.solution_id
WHERE s.solution_id IN (SELECT t.solution_id FROM alignment_attempt t
                        WHERE t.alignment_group_id = :alignment_group_id AND t.solution_id IS NOT NULL)
ORDER BY e.rootname
