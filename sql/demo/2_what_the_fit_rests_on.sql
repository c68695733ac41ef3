-- How far was each exposure off, and on how many Gaia stars does its fit rest, some without a measured motion?
SELECT e.rootname, round(a.shift_ra_mas::numeric, 1) AS east_mas, round(a.shift_dec_mas::numeric, 1) AS north_mas,
       round(a.rotation_deg::numeric, 4) AS turn_deg, count(*) FILTER (WHERE m.used) AS used,
       count(*) FILTER (WHERE NOT m.used) AS unused, count(*) FILTER (WHERE m.used AND g.pmra IS NULL) AS motionless
FROM wcs_active w
JOIN exposure e USING (exposure_id)
JOIN alignment_attempt a ON a.solution_id = w.solution_id AND a.outcome = 'accepted' AND a.catalog IS NOT NULL
JOIN star_match m ON m.attempt_id = a.attempt_id AND m.source_id IS NOT NULL
LEFT JOIN attempt_reference_query q ON q.attempt_id = a.attempt_id
LEFT JOIN reference_source g ON (g.reference_query_id, g.source_id) = (q.reference_query_id, m.source_id)
WHERE upper_inf(w.during)
GROUP BY e.rootname, a.attempt_id
ORDER BY e.rootname
