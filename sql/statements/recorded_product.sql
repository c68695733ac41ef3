-- A product, in force or of the past, with all that was recorded of how it was made. Members that define the grid of a visit
-- have no file of their own there: the newest content of each is named, only its solution counts.
SELECT p.product_id, p.kind, p.name, k.folder, p.visit, c.name AS sky_cell, p.sky_cell_id, p.instrument, p.detector, p.filter,
       p.pixel_scale, p.nx, p.ny, p.grid, p.wcs_policy, p.inputs_sha256, p.parameters, p.parameters_sha256, p.policy_id,
       p.pixels_sha256, p.origin, p.request, p.label, p.run_id, r.started AS moment, r.hapctl_version,
       EXISTS (SELECT FROM product_current n WHERE n.product_id = p.product_id AND upper_inf(n.during)) AS in_force,
       (SELECT coalesce(jsonb_agg(jsonb_build_array(i.exposure_id, i.file_id, i.solution_id, i.mask_id)
                                  ORDER BY i.exposure_id), '[]')
        FROM product_input i WHERE i.product_id = p.product_id) AS inputs,
       (SELECT coalesce(jsonb_agg(jsonb_build_array((m -> 0)::bigint, f.file_id, (m -> 1)::bigint, NULL)
                                  ORDER BY (m -> 0)::bigint), '[]')
        FROM jsonb_array_elements(p.grid -> 'members') m
        CROSS JOIN LATERAL (SELECT max(o.file_id) AS file_id FROM exposure_file o
                            WHERE o.exposure_id = (m -> 0)::bigint) f) AS members,
       (SELECT coalesce(jsonb_agg(jsonb_build_array(x.exposure_id, x.solution_id, x.code, x.reason)
                                  ORDER BY x.exposure_id), '[]')
        FROM product_exclusion x WHERE x.product_id = p.product_id) AS exclusions,
       (SELECT coalesce(jsonb_agg(jsonb_build_object('kind', o.kind, 'path', o.path, 'sha256', o.sha256,
                                                     'size_bytes', o.size_bytes) ORDER BY o.kind), '[]')
        FROM product_file o WHERE o.product_id = p.product_id) AS files
FROM product p
JOIN product_key k USING (product_key_id)
JOIN run r ON r.run_id = p.run_id
LEFT JOIN sky_cell c ON c.sky_cell_id = p.sky_cell_id
WHERE p.product_id = :product_id
