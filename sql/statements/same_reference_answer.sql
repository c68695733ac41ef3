SELECT reference_query_id
FROM reference_query
WHERE release = :release AND source = :source AND region = :region AND answer_sha256 = :answer_sha256
  AND NOT EXISTS (SELECT FROM recalled_query r JOIN recall_in_force USING (recall_id)
                  WHERE r.reference_query_id = reference_query.reference_query_id)
ORDER BY reference_query_id
LIMIT 1
