-- The reasons are gathered before the join: joined row by row they would be looked for once per product.
CREATE OR REPLACE VIEW stale_product AS
SELECT p.product_id, p.kind, p.name, p.path, p.visit, p.sky_cell, p.instrument, p.detector, p.filter, r.codes, r.reasons
FROM current_product p
JOIN (
    SELECT product_id, array_agg(DISTINCT code ORDER BY code) AS codes, array_agg(DISTINCT reason ORDER BY reason) AS reasons
    FROM stale_product_reason
    GROUP BY product_id
) r USING (product_id);

COMMENT ON VIEW stale_product IS 'Current products that no longer are what would be made now, with all reasons.';
