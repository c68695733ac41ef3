-- title: Residuals against the reference catalog, by epoch and exposure
-- sentence: Averages, for each exposure whose fit is in force, how far its stars were measured from where the
--     reference catalog puts them at its epoch: a drift with the years is a wrong mean motion, an outlier a wrong fit.
-- param visit text = %: only visits of this pattern
SELECT date_part('year', t.epoch) + (date_part('doy', t.epoch) - 1) / 365.25 AS epoch, e.visit, e.rootname, e.detector,
       e.filter, t.catalog, count(*) AS stars,
       round(CAST(avg(m.catalog_residual_ra_mas) AS numeric), 3) AS mean_ra_mas,
       round(CAST(avg(m.catalog_residual_dec_mas) AS numeric), 3) AS mean_dec_mas,
       round(CAST(sqrt(avg(m.catalog_residual_ra_mas ^ 2)) AS numeric), 3) AS rms_ra_mas,
       round(CAST(sqrt(avg(m.catalog_residual_dec_mas ^ 2)) AS numeric), 3) AS rms_dec_mas,
       round(CAST(avg(s.bp_rp) AS numeric), 2) AS mean_bp_rp
FROM wcs_active a
JOIN alignment_attempt t ON t.exposure_id = a.exposure_id AND t.solution_id = a.solution_id AND t.outcome = 'accepted'
JOIN exposure e ON e.exposure_id = t.exposure_id
JOIN star_match m ON m.attempt_id = t.attempt_id AND m.used AND m.catalog_ra IS NOT NULL
    AND COALESCE(m.catalog_weight, 1) > 0
LEFT JOIN LATERAL (
    SELECT r.bp_rp FROM attempt_reference_query q
    JOIN reference_source r ON r.reference_query_id = q.reference_query_id AND r.source_id = m.source_id
    WHERE q.attempt_id = t.attempt_id LIMIT 1
) s ON true
WHERE upper_inf(a.during) AND e.visit LIKE :visit
GROUP BY t.attempt_id, t.epoch, e.visit, e.rootname, e.detector, e.filter, t.catalog
ORDER BY t.epoch, e.rootname
