INSERT INTO attempt_reference_query (attempt_id, reference_query_id) VALUES (:attempt_id, :reference_query_id)
