-- The first run that tried an alignment with these inputs; its attempts were committed together.
SELECT min(run_id) FROM alignment_attempt WHERE inputs_sha256 = :inputs_sha256
