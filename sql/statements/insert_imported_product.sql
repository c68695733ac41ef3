-- A visit that no exposure was ingested of is not known as such: the product keeps it in its name only.
INSERT INTO product (product_key_id, kind, name, visit, sky_cell_id, instrument, detector, filter, pixel_scale, nx, ny, grid,
                     s_region, inputs_sha256, parameters, parameters_sha256, pixels_sha256, origin, run_id)
VALUES (:product_key_id, :kind, :name, (SELECT v.visit FROM visit v WHERE v.visit = :visit), :sky_cell_id, :instrument,
        :detector, :filter, :pixel_scale, :nx, :ny, CAST(:grid AS jsonb), :s_region, :inputs_sha256,
        CAST(:parameters AS jsonb), :parameters_sha256, :pixels_sha256, 'import', :run_id)
RETURNING product_id
