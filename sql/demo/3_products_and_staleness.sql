-- What is each product made of, and is any of them stale?
SELECT p.kind, p.filter, CASE p.kind WHEN 'exposure' THEN min(e.rootname) ELSE coalesce(p.sky_cell, p.visit) END AS subject,
       count(*) AS exposures, string_agg(DISTINCT s.frame, ', ') AS frame,
       coalesce(array_to_string(t.reasons, '; '), 'current') AS state
FROM current_product p
JOIN product_input i USING (product_id)
JOIN exposure e USING (exposure_id)
JOIN wcs_solution s USING (solution_id)
LEFT JOIN stale_product t USING (product_id)
GROUP BY p.product_id, p.kind, p.filter, p.sky_cell, p.visit, t.reasons
ORDER BY p.product_id
