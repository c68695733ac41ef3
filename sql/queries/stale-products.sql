-- title: Products that are no longer what would be made now
-- sentence: Lists current products whose inputs, exclusions, policy or files have changed since they were made,
--     with every reason; after a rebuild there are none.
-- param visit text = %: only products of this visit (an SQL pattern; a layer belongs to no visit)
SELECT p.product_id, p.kind, p.name, p.path, array_to_string(p.codes, ', ') AS codes,
       array_to_string(p.reasons, '; ') AS reasons
FROM stale_product p
WHERE coalesce(p.visit, '') LIKE :visit
ORDER BY p.path
