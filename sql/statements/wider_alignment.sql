-- The alignments of tiles and lists, on a catalog's frame, that are in force for the exposures of a visit: of each exposure
-- that may be mosaicked the scope, NULL where it has no such solution or a file came after it.
SELECT q.rootname,
       CASE WHEN g.kind = 'absolute' AND g.scope <> 'visit' AND lower(a.during) > lower(c.during)
            THEN g.scope || ' ' || g.scope_name END AS alignment
FROM eligible_exposure q
JOIN wcs_solution s ON s.solution_id = q.solution_id
JOIN wcs_active a ON a.exposure_id = q.exposure_id AND upper_inf(a.during)
JOIN exposure_file_current c ON c.file_id = q.file_id AND upper_inf(c.during)
LEFT JOIN alignment_group g ON g.alignment_group_id = s.alignment_group_id
WHERE q.visit = :visit
ORDER BY q.rootname
