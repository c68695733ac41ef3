-- The sky that the solutions in force of a visit cover, as HEALPix ranges of order 29.
SELECT range_agg(part.cells) AS coverage
FROM exposure e
JOIN wcs_active w ON w.exposure_id = e.exposure_id AND upper_inf(w.during)
JOIN wcs_solution s ON s.solution_id = w.solution_id
CROSS JOIN unnest(s.footprint) AS part (cells)
WHERE e.visit = :visit
