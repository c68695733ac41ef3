INSERT INTO recalled_file (recall_id, file_id) SELECT :recall_id, unnest(CAST(:ids AS bigint[]))
