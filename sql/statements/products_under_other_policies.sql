-- Products in force that were made under another policy than :policy_id and are not known to be the same under it, with what the
-- rules of products look at. Parameters are many and alike: see parameters_of_products.
SELECT p.product_id, p.kind, p.detector, p.parameters_sha256, p.request::text AS request, x.exposures, x.start_mjd, x.filter,
       v.visits
FROM product_current n
JOIN product p USING (product_key_id, product_id)
CROSS JOIN LATERAL (
    SELECT max(g.exposures) AS exposures, min(g.start_mjd) AS start_mjd, (array_agg(g.filter ORDER BY g.first))[1] AS filter
    FROM (SELECT e.filter, count(*) AS exposures, min(e.mjd_start) AS start_mjd, min(e.rootname) AS first
          FROM product_input i JOIN exposure e USING (exposure_id)
          WHERE i.product_id = p.product_id GROUP BY e.filter) g
) x
CROSS JOIN LATERAL (
    SELECT array_agg(DISTINCT e.visit ORDER BY e.visit) AS visits
    FROM product_input i JOIN exposure e USING (exposure_id) WHERE i.product_id = p.product_id
) v
WHERE upper_inf(n.during) AND p.origin = 'made' AND p.policy_id <> :policy_id AND x.exposures IS NOT NULL
  AND NOT EXISTS (SELECT FROM product_policy_same s WHERE (s.product_id, s.policy_id) = (p.product_id, :policy_id))
ORDER BY p.product_id
