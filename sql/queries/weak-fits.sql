-- title: Fits in force that deserve a second look
-- sentence: Lists the exposures whose WCS in force was fitted with few stars or with a large scatter, the weakest
--     first.
-- param min_matches integer = 10: a fit with fewer matched stars is weak
-- param max_rms_mas number = 20: a fit with a larger rms in RA or Dec is weak, mas
SELECT e.rootname, e.visit, e.detector, e.filter, s.wcsname, s.frame, s.nmatches, s.rms_ra_mas, s.rms_dec_mas,
       s.fit_geometry, lower(a.during) AS since
FROM wcs_active a
JOIN wcs_solution s USING (exposure_id, solution_id)
JOIN exposure e USING (exposure_id)
WHERE upper_inf(a.during)
  AND s.kind = 'fit'
  AND (s.nmatches IS NULL OR s.nmatches < CAST(:min_matches AS integer)
       OR greatest(s.rms_ra_mas, s.rms_dec_mas) > CAST(:max_rms_mas AS double precision))
ORDER BY s.nmatches NULLS FIRST, greatest(s.rms_ra_mas, s.rms_dec_mas) DESC, e.rootname
