-- For each rootname and WCSNAME, in order: the exposure, and its solution of that name where there is one only.
SELECT x.exposure_id, s.solution_id
FROM unnest(CAST(:rootnames AS text[]), CAST(:wcsnames AS text[])) WITH ORDINALITY c (rootname, wcsname, place)
LEFT JOIN LATERAL (
    SELECT min(e.exposure_id) AS exposure_id FROM exposure e
    WHERE e.visit = left(c.rootname, 6)
      AND (e.rootname = c.rootname OR (length(c.rootname) = 8 AND left(e.rootname, 8) = c.rootname))
    HAVING count(*) = 1
) x ON true
LEFT JOIN LATERAL (
    SELECT min(o.solution_id) AS solution_id FROM wcs_solution o
    WHERE o.exposure_id = x.exposure_id AND o.wcsname = c.wcsname
    HAVING count(*) = 1
) s ON true
ORDER BY c.place
