-- From a product down to file checksum, fit, and Gaia query: one row per input and reference query.
CREATE OR REPLACE VIEW product_lineage AS
SELECT p.product_id, p.name AS product, p.kind, p.run_id AS product_run_id, p.pixels_sha256,
       e.rootname, f.suffix, f.sha256 AS file_sha256, i.mask_id, m.sha256 AS mask_sha256, m.run_id AS mask_run_id,
       s.solution_id, s.wcsname, s.frame, s.run_id AS solution_run_id, t.attempt_id, t.nmatches, t.rms_ra_mas,
       t.rms_dec_mas, q.reference_query_id, q.release, q.service, q.question, q.answer_sha256,
       q.run_id AS reference_run_id
FROM product p
JOIN product_input i USING (product_id)
JOIN exposure e USING (exposure_id)
JOIN exposure_file f ON f.file_id = i.file_id
JOIN wcs_solution s ON s.solution_id = i.solution_id
LEFT JOIN exposure_mask m ON m.mask_id = i.mask_id
LEFT JOIN LATERAL (
    SELECT a.attempt_id, a.nmatches, a.rms_ra_mas, a.rms_dec_mas
    FROM alignment_attempt a
    WHERE a.solution_id = s.solution_id AND a.outcome = 'accepted'
    ORDER BY a.method, a.attempt_id DESC LIMIT 1
) t ON true
LEFT JOIN attempt_reference_query aq ON aq.attempt_id = t.attempt_id
LEFT JOIN reference_query q ON q.reference_query_id = aq.reference_query_id;

COMMENT ON VIEW product_lineage IS 'What a product was made from: files, solutions, fits, masks and Gaia queries.';
