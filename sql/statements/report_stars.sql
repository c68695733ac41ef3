-- The matched stars of attempts; x and y from 0.
SELECT m.attempt_id, m.extver, m.x - 1 AS x, m.y - 1 AS y, m.ra, m.dec, m.source_id, m.reference_ra, m.reference_dec,
       m.residual_ra_mas, m.residual_dec_mas, m.catalog_ra, m.catalog_dec, m.catalog_residual_ra_mas,
       m.catalog_residual_dec_mas, m.error_mas, CASE WHEN m.used THEN m.weight ELSE 0 END AS weight, m.magnitude,
       m.instrumental_magnitude, coalesce(m.group_star, -1) AS group_star
FROM star_match m
WHERE m.attempt_id = ANY (CAST(:attempt_ids AS bigint[]))
ORDER BY m.attempt_id, m.star
