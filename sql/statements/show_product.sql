-- Everything the catalog holds of the products in force under a name or path.
SELECT p.product_id, p.kind, p.name, c.path, p.visit, c.sky_cell, p.instrument, p.detector, p.filter, p.pixel_scale,
       p.nx, p.ny, p.grid, p.s_region, p.wcs_policy, p.inputs_sha256, p.parameters, p.parameters_sha256, p.policy_id,
       p.pixels_sha256, p.run_id, c.since, p.origin,
       (SELECT jsonb_agg(jsonb_build_object('kind', f.kind, 'path', f.path, 'sha256', f.sha256, 'bytes', f.size_bytes)
                         ORDER BY f.kind) FROM product_file f WHERE f.product_id = p.product_id) AS files,
       (SELECT coalesce(jsonb_agg(jsonb_build_object('rootname', e.rootname, 'wcsname', w.wcsname, 'frame', w.frame,
                                            'sky', i.sky, 'mask_sha256', m.sha256) ORDER BY e.rootname), '[]')
        FROM product_input i JOIN exposure e USING (exposure_id)
        JOIN wcs_solution w ON w.solution_id = i.solution_id
        LEFT JOIN exposure_mask m ON m.mask_id = i.mask_id WHERE i.product_id = p.product_id) AS inputs,
       (SELECT coalesce(jsonb_agg(jsonb_build_object('file', i.file_name, 'rootname', i.rootname, 'extver', i.extver,
                                                     'wcsname', i.wcsname, 'exposure_time', i.exposure_time,
                                                     'exposure_known', i.exposure_id IS NOT NULL,
                                                     'solution_known', i.solution_id IS NOT NULL) ORDER BY i.number), '[]')
        FROM product_claimed_input i WHERE i.product_id = p.product_id) AS claimed_inputs,
       (SELECT coalesce(jsonb_agg(jsonb_build_object('rootname', e.rootname, 'code', x.code, 'reason', x.reason)
                                  ORDER BY e.rootname), '[]')
        FROM product_exclusion x JOIN exposure e USING (exposure_id) WHERE x.product_id = p.product_id) AS left_out,
       ARRAY(SELECT r.reason FROM stale_product_reason r WHERE r.product_id = p.product_id ORDER BY 1) AS stale
FROM current_product c
JOIN product p USING (product_id)
WHERE c.name = :name OR c.path = :name
ORDER BY c.path
