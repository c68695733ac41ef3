-- ObsCore 1.1 over the current products, for TOPCAT and other clients of the Virtual Observatory.
CREATE SCHEMA IF NOT EXISTS ivoa;

CREATE OR REPLACE VIEW ivoa.obscore AS
SELECT CASE p.kind WHEN 'grism' THEN 'spectrum' ELSE 'image' END AS dataproduct_type,
       CASE WHEN p.kind IN ('exposure', 'grism') THEN 2 ELSE 3 END AS calib_level,
       'HST'::text AS obs_collection, p.name AS obs_id,
       'ivo://hapctl/product?' || p.product_id AS obs_publisher_did, p.path AS access_url,
       'image/fits'::text AS access_format, f.size_bytes / 1024 AS access_estsize,
       min(e.target_name) AS target_name, q.s_region, p.pixel_scale AS s_resolution, p.nx AS s_xel1, p.ny AS s_xel2,
       min(e.mjd_start) AS t_min, max(e.mjd_end) AS t_max, sum(e.exposure_time) AS t_exptime,
       'HST'::text AS facility_name, p.instrument || '/' || p.detector AS instrument_name, p.filter
FROM current_product p
JOIN product q USING (product_id)
JOIN product_file f ON f.product_id = p.product_id AND f.kind = 'fits'
JOIN product_input i ON i.product_id = p.product_id
JOIN exposure e ON e.exposure_id = i.exposure_id
GROUP BY p.product_id, p.kind, p.name, p.path, f.size_bytes, q.s_region, p.pixel_scale, p.nx, p.ny, p.instrument,
         p.detector, p.filter;

COMMENT ON VIEW ivoa.obscore IS 'ObsCore 1.1: the current products.';
