CREATE OR REPLACE VIEW stale_product AS
SELECT p.product_id, p.kind, p.name, p.path, p.visit, p.sky_cell, p.instrument, p.detector, p.filter,
       array_agg(DISTINCT r.code ORDER BY r.code) AS codes, array_agg(DISTINCT r.reason ORDER BY r.reason) AS reasons
FROM current_product p
JOIN stale_product_reason r USING (product_id)
GROUP BY p.product_id, p.kind, p.name, p.path, p.visit, p.sky_cell, p.instrument, p.detector, p.filter;

COMMENT ON VIEW stale_product IS 'Current products that no longer are what would be made now, with all reasons.';
