-- Matched stars of the last attempt that made a solution, measured and in the reference catalog.
SELECT m.ra, m.dec, m.reference_ra, m.reference_dec, m.used, m.source_id
FROM star_match m
WHERE m.attempt_id = (SELECT max(a.attempt_id) FROM alignment_attempt a
                      WHERE a.solution_id = :solution_id
                        AND EXISTS (SELECT FROM star_match n WHERE n.attempt_id = a.attempt_id))
ORDER BY m.star
