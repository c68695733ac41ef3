SELECT reference_query_id
FROM reference_query
WHERE release = :release AND source = :source AND region = :region AND answer_sha256 = :answer_sha256
ORDER BY reference_query_id
LIMIT 1
