-- The newest run that tried to fit an exposure of a visit.
SELECT max(run_id) FROM alignment_attempt WHERE visit = :visit
