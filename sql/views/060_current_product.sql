-- Each product has a key: joined as LEFT it costs nothing where no path is asked for.
CREATE OR REPLACE VIEW current_product AS
SELECT p.product_id, p.product_key_id, p.kind, p.name, k.folder || '/' || k.name AS path, p.visit, c.name AS sky_cell,
       p.sky_cell_id, p.instrument, p.detector, p.filter, p.pixel_scale, p.nx, p.ny, p.wcs_policy, p.pixels_sha256,
       p.parameters_sha256, p.policy_id, p.run_id, lower(n.during) AS since, p.label, p.origin
FROM product_current n
JOIN product p USING (product_key_id, product_id)
LEFT JOIN product_key k ON k.product_key_id = p.product_key_id
LEFT JOIN sky_cell c ON c.sky_cell_id = p.sky_cell_id
WHERE upper_inf(n.during);

COMMENT ON VIEW current_product IS 'The products in force, with the path of their FITS file.';
