SELECT reference_query_id, release, source, service, region, question, n_rows, answer_sha256, fetched, run_id
FROM reference_query
ORDER BY reference_query_id
