-- The product in force at a place; else the newest that was recalled and has this content.
SELECT p.product_id, p.kind, p.origin = 'made' AS made_here, f.sha256 = :sha256 AS same_content, w.recalled
FROM product_key k
JOIN product p USING (product_key_id)
LEFT JOIN product_current n ON n.product_key_id = k.product_key_id AND n.product_id = p.product_id AND upper_inf(n.during)
LEFT JOIN product_file f ON f.product_id = p.product_id AND f.kind = 'fits'
CROSS JOIN LATERAL (
    SELECT 'recall ' || min(c.recall_id) || ' (' || string_agg(DISTINCT c.reason, '; ') || ')' AS recalled
    FROM recalled_product r JOIN recall_in_force c USING (recall_id)
    WHERE r.product_id = p.product_id
) w
WHERE k.folder = :folder AND k.name = :name
  AND (n.product_id IS NOT NULL OR (w.recalled IS NOT NULL AND f.sha256 = :sha256))
ORDER BY n.product_id NULLS LAST, p.product_id DESC
LIMIT 1
