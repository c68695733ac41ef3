-- What the trailer log of a product says: the product, its run, inputs with solutions, fits and masks, what was left out.
-- Of a solution the first accepted attempt is told, of its frame that of the day the run began: later runs change neither.
SELECT p.product_id, p.kind, p.name, k.folder, p.visit, c.name AS tile, p.instrument, p.detector, p.filter, p.label, p.origin,
       p.pixel_scale, p.nx, p.ny, p.grid -> 'crval' AS centre, p.s_region, p.wcs_policy, p.inputs_sha256, p.parameters,
       p.parameters_sha256, p.pixels_sha256, p.policy_id, o.name AS policy, o.version AS policy_version, p.request,
       r.run_id, r.command, r.arguments, r.hapctl_version, r.software, r.host, r.cpu, r.operator, r.started,
       n.ended, n.outcome, n.peak_memory_bytes, COALESCE(n.summary, '{}') AS summary,
       (SELECT jsonb_agg(jsonb_build_object('kind', f.kind, 'name', regexp_replace(f.path, '^.*/', ''), 'sha256', f.sha256,
                                            'bytes', f.size_bytes) ORDER BY f.kind, f.path)
        FROM product_file f WHERE f.product_id = p.product_id) AS files,
       (SELECT COALESCE(jsonb_agg(jsonb_build_object(
            'rootname', e.rootname, 'suffix', x.suffix, 'file_sha256', x.sha256, 'filter', e.filter, 'visit', e.visit,
            'exposure_time', e.exposure_time, 'mjd_start', e.mjd_start, 'sky', i.sky,
            'wcsname', s.wcsname, 'frame', COALESCE(a.frame, s.frame), 'transformation_sha256', s.transformation_sha256,
            'solution_run', s.run_id, 'solution_nmatches', s.nmatches, 'attempt', t.attempt,
            'mask_sha256', m.sha256, 'mask_run', m.run_id, 'mask_flagged', m.n_flagged) ORDER BY e.rootname), '[]')
        FROM product_input i
        JOIN exposure e USING (exposure_id)
        JOIN exposure_file x ON x.file_id = i.file_id
        JOIN wcs_solution s ON s.solution_id = i.solution_id
        LEFT JOIN exposure_mask m ON m.mask_id = i.mask_id
        LEFT JOIN LATERAL (SELECT w.frame FROM wcs_active w
                           WHERE w.solution_id = s.solution_id AND w.during @> r.started LIMIT 1) a ON true
        LEFT JOIN LATERAL (
            SELECT jsonb_build_object(
                'run', t.run_id, 'method', t.method, 'catalog', t.catalog, 'geometry', t.geometry, 'reason', t.reason,
                'nmatches', t.nmatches, 'rms_ra_mas', t.rms_ra_mas, 'rms_dec_mas', t.rms_dec_mas,
                'shift_ra_mas', t.shift_ra_mas, 'shift_dec_mas', t.shift_dec_mas, 'rotation_deg', t.rotation_deg,
                'predicted_error_mas', t.metrics -> 'predicted_error_mas',
                'references', (SELECT jsonb_agg(jsonb_build_object('release', q.release, 'rows', q.n_rows,
                                                                   'answer_sha256', q.answer_sha256) ORDER BY q.reference_query_id)
                               FROM attempt_reference_query aq JOIN reference_query q USING (reference_query_id)
                               WHERE aq.attempt_id = t.attempt_id)) AS attempt
            FROM alignment_attempt t
            WHERE t.solution_id = s.solution_id AND t.outcome = 'accepted'
            ORDER BY t.attempt_id LIMIT 1
        ) t ON true
        WHERE i.product_id = p.product_id) AS inputs,
       (SELECT COALESCE(jsonb_agg(jsonb_build_object('rootname', e.rootname, 'code', x.code, 'reason', x.reason)
                                  ORDER BY e.rootname), '[]')
        FROM product_exclusion x JOIN exposure e USING (exposure_id) WHERE x.product_id = p.product_id) AS left_out
FROM product p
JOIN product_key k USING (product_key_id)
JOIN run r ON r.run_id = p.run_id
LEFT JOIN run_end n ON n.run_id = p.run_id
LEFT JOIN policy o ON o.policy_id = p.policy_id
LEFT JOIN sky_cell c ON c.sky_cell_id = p.sky_cell_id
WHERE p.product_id = :product_id
