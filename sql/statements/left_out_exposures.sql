-- Exposures of a visit, named, or whose last solution in force touches a tile or comes near a field, that may not be mosaicked, and why.
WITH wanted AS (
    SELECT exposure_id FROM exposure WHERE visit = :visit
    UNION
    SELECT exposure_id FROM exposure WHERE rootname = ANY (CAST(:rootnames AS text[]))
    UNION
    SELECT a.exposure_id FROM solution_sky_cell t
    JOIN wcs_active a ON a.solution_id = t.solution_id AND upper_inf(a.during)
    WHERE t.sky_cell_id = :sky_cell_id
    UNION
    SELECT a.exposure_id FROM wcs_solution f
    JOIN wcs_active a ON a.solution_id = f.solution_id AND upper_inf(a.during)
    WHERE f.footprint && CAST(:footprint AS int8multirange)
)
SELECT e.exposure_id, e.rootname, e.visit, e.proposal_id, e.mjd_start, e.instrument, e.detector, e.filter,
       CASE WHEN w.reason IS NOT NULL THEN 'withdrawn'
            WHEN e.exclusion_code IS NOT NULL THEN e.exclusion_code
            WHEN a.solution_id IS NULL THEN 'no-solution'
            WHEN r.reason IS NOT NULL THEN 'recalled'
            ELSE 'no-file' END AS code,
       CASE WHEN w.reason IS NOT NULL THEN 'withdrawn: ' || w.reason
            WHEN e.exclusion_code IS NOT NULL THEN e.exclusion_reason
            WHEN a.solution_id IS NULL THEN 'no WCS solution is in force'
            WHEN r.reason IS NOT NULL THEN 'its file was recalled: ' || r.reason
            ELSE 'no file is in force' END AS reason
FROM exposure e
LEFT JOIN exposure_withdrawal w ON w.exposure_id = e.exposure_id AND upper_inf(w.during)
LEFT JOIN wcs_active a ON a.exposure_id = e.exposure_id AND upper_inf(a.during)
LEFT JOIN LATERAL (
    SELECT string_agg(DISTINCT w.reason, '; ') AS reason
    FROM exposure_file_current c
    JOIN recalled_file b USING (file_id)
    JOIN recall_in_force w USING (recall_id)
    WHERE c.exposure_id = e.exposure_id AND upper_inf(c.during)
) r ON true
WHERE e.exposure_id = ANY (ARRAY(SELECT exposure_id FROM wanted))
  AND NOT EXISTS (SELECT FROM eligible_exposure q WHERE q.exposure_id = e.exposure_id)
ORDER BY e.rootname
