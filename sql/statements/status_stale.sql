SELECT path, array_to_string(codes, ', ') AS codes
FROM stale_product
ORDER BY path
LIMIT 20
