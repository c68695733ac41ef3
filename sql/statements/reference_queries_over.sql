-- Answers that cover part of some ranges, newest first.
SELECT reference_query_id, region, answer_sha256, coverage
FROM reference_query
WHERE release = :release AND coverage && CAST(:ranges AS int8multirange)
ORDER BY fetched DESC, reference_query_id DESC
