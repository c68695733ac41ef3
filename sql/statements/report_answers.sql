-- The answers of reference catalogs that attempts used.
SELECT reference_query_id, release, source, service, region, n_rows, answer_sha256, fetched, run_id
FROM reference_query
WHERE reference_query_id IN (SELECT q.reference_query_id FROM attempt_reference_query q
                             WHERE q.attempt_id = ANY (CAST(:attempt_ids AS bigint[])))
ORDER BY reference_query_id
