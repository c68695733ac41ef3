INSERT INTO recalled_query (recall_id, reference_query_id) SELECT :recall_id, unnest(CAST(:ids AS bigint[]))
