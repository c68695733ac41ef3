-- title: Fraction of exposures fitted to Gaia, per detector and year
-- sentence: Counts, for each detector and year of observation, the exposures whose WCS in force was fitted to a
--     Gaia catalog, and their fraction of all exposures with a WCS in force.
-- param instrument text = %: only this instrument (an SQL pattern)
SELECT e.instrument, e.detector, CAST(date_part('year', e.t_mid) AS integer) AS year, count(*) AS exposures,
       count(*) FILTER (WHERE s.kind = 'fit' AND s.frame LIKE 'GAIA-%') AS fitted_to_gaia,
       round(avg(CASE WHEN s.kind = 'fit' AND s.frame LIKE 'GAIA-%' THEN 1.0 ELSE 0.0 END), 3) AS fraction
FROM exposure e
JOIN wcs_active a ON a.exposure_id = e.exposure_id AND upper_inf(a.during)
JOIN wcs_solution s ON s.solution_id = a.solution_id
WHERE e.instrument LIKE :instrument
GROUP BY e.instrument, e.detector, year
ORDER BY e.instrument, e.detector, year
