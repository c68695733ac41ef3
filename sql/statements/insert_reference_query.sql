INSERT INTO reference_query (release, source, service, question, region, coverage, n_rows, answer_sha256, run_id)
VALUES (:release, :source, :service, :question, :region, CAST(:coverage AS int8multirange), :n_rows, :answer_sha256,
        :run_id)
RETURNING reference_query_id
