-- title: Fits in force that deserve a second look
-- sentence: Lists the exposures whose WCS in force was fitted with few stars, with a large scatter, or with a large
--     predicted error, the weakest first. An exposure of a joint solution on Gaia is judged by the error predicted for it:
--     it may be tied through others, without any star of the catalog in it.
-- param min_matches integer = 10: a fit with fewer matched stars is weak
-- param max_rms_mas number = 20: a fit with a larger rms in RA or Dec is weak, mas
-- param max_error_mas number = 10: a joint solution with a larger predicted error is weak, mas
SELECT e.rootname, e.visit, e.detector, e.filter, s.wcsname, s.frame, s.nmatches, s.rms_ra_mas, s.rms_dec_mas,
       m.predicted_error_mas, s.fit_geometry, lower(a.during) AS since
FROM wcs_active a
JOIN wcs_solution s USING (exposure_id, solution_id)
JOIN exposure e USING (exposure_id)
LEFT JOIN LATERAL (
    SELECT o.predicted_error_mas FROM alignment_member o
    WHERE o.solution_id = s.solution_id ORDER BY o.alignment_group_id DESC LIMIT 1
) m ON true
WHERE upper_inf(a.during)
  AND s.kind = 'fit'
  AND (CASE WHEN m.predicted_error_mas IS NULL OR s.frame NOT LIKE 'GAIA-%'
            THEN s.nmatches IS NULL OR s.nmatches < CAST(:min_matches AS integer)
            ELSE m.predicted_error_mas > CAST(:max_error_mas AS double precision) END
       OR greatest(s.rms_ra_mas, s.rms_dec_mas) > CAST(:max_rms_mas AS double precision))
ORDER BY m.predicted_error_mas DESC NULLS FIRST, s.nmatches NULLS FIRST, greatest(s.rms_ra_mas, s.rms_dec_mas) DESC,
         e.rootname
