INSERT INTO product (product_key_id, kind, name, visit, sky_cell_id, instrument, detector, filter, pixel_scale, nx, ny,
                     grid, s_region, wcs_policy, inputs_sha256, parameters, parameters_sha256, policy_id,
                     pixels_sha256, request, label, run_id)
VALUES (:product_key_id, :kind, :name, :visit, :sky_cell_id, :instrument, :detector, :filter, :pixel_scale, :nx, :ny,
        CAST(:grid AS jsonb), :s_region, :wcs_policy, :inputs_sha256, CAST(:parameters AS jsonb), :parameters_sha256,
        :policy_id, :pixels_sha256, CAST(:request AS jsonb), :label, :run_id)
RETURNING product_id
