-- Grism and prism exposures of a visit, with all that a product needs to know of them.
SELECT q.exposure_id, q.rootname, q.visit, e.proposal_id, q.instrument, q.detector, q.filter, e.filter_elements,
       e.target_name, q.exposure_time, e.mjd_start, e.mjd_end, q.file_id, q.suffix, f.sha256 AS file_sha256,
       f.size_bytes, q.solution_id, q.wcsname, q.frame, q.idc_root, q.absolute, s.transformation_sha256,
       s.keywords, s.run_id AS solution_run, NULL AS mask_id,
       ARRAY(SELECT r.path || '/' || l.path
             FROM file_location l
             JOIN archive_root_path r ON r.root_id = l.root_id AND upper_inf(r.during)
             WHERE l.file_id = q.file_id AND upper_inf(l.during)
             ORDER BY l.location_id DESC) AS paths,
       ARRAY(SELECT c.name FROM solution_sky_cell t JOIN sky_cell c USING (sky_cell_id)
             WHERE t.solution_id = q.solution_id ORDER BY c.name) AS sky_cells
FROM grism_exposure q
JOIN exposure e USING (exposure_id)
JOIN exposure_file f ON f.file_id = q.file_id
JOIN wcs_solution s ON s.solution_id = q.solution_id
WHERE q.visit = :visit
ORDER BY q.rootname
