-- Answers that cover part of some ranges, newest first; recalled ones are not used again.
SELECT reference_query_id, region, answer_sha256, coverage
FROM reference_query
WHERE release = :release AND coverage && CAST(:ranges AS int8multirange)
  AND NOT EXISTS (SELECT FROM recalled_query r JOIN recall_in_force USING (recall_id)
                  WHERE r.reference_query_id = reference_query.reference_query_id)
ORDER BY fetched DESC, reference_query_id DESC
