-- Recalled products that were in force, have no successor at their place, and were not dropped: `mosaic --stale` makes them
-- anew, asked for as they were (request).
CREATE OR REPLACE VIEW product_awaiting_rebuild AS
SELECT p.product_id, p.product_key_id, p.kind, p.name, k.folder, k.folder || '/' || k.name AS path, p.visit,
       c.name AS sky_cell, p.sky_cell_id, p.instrument, p.detector, p.filter, p.label, p.wcs_policy, p.request,
       min(w.recall_id) AS recall_id,
       'recalled' AS code, 'was recalled: ' || string_agg(DISTINCT w.reason, '; ') AS reason
FROM recalled_product r
JOIN recall_in_force w USING (recall_id)
JOIN product p ON p.product_id = r.product_id
JOIN product_key k ON k.product_key_id = p.product_key_id
LEFT JOIN sky_cell c ON c.sky_cell_id = p.sky_cell_id
WHERE r.was_current AND p.origin = 'made'
  AND NOT EXISTS (SELECT FROM product_current n WHERE n.product_key_id = p.product_key_id AND upper_inf(n.during))
  AND NOT EXISTS (SELECT FROM recalled_product_dropped d
                  WHERE d.recall_id = r.recall_id AND d.product_id = r.product_id)
GROUP BY p.product_id, k.product_key_id, c.sky_cell_id;

COMMENT ON VIEW product_awaiting_rebuild IS 'Recalled products that have no successor yet: the queue of mosaic --stale.';
