-- Exposures as a product or a mask recorded them: with that file, solution and mask, not those in force. The frame is that of
-- the moment, places of the file are all that were ever known: its checksum tells whether it still lies there.
SELECT e.exposure_id, e.rootname, e.visit, e.proposal_id, e.instrument, e.detector, e.filter, e.filter_elements,
       e.target_name, e.exposure_time, e.mjd_start, e.mjd_end, f.file_id, f.suffix, f.sha256 AS file_sha256, f.size_bytes,
       s.solution_id, s.wcsname,
       coalesce((SELECT a.frame FROM wcs_active a
                 WHERE a.exposure_id = e.exposure_id AND a.solution_id = s.solution_id
                   AND a.during @> CAST(:moment AS timestamptz)), s.frame) AS frame,
       s.idc_root, s.frame LIKE 'GAIA-%' AS absolute, s.transformation_sha256, s.keywords, s.run_id AS solution_run, u.mask_id,
       ARRAY(SELECT r.path || '/' || l.path
             FROM file_location l
             JOIN archive_root_path r ON r.root_id = l.root_id AND upper_inf(r.during)
             WHERE l.file_id = f.file_id
             GROUP BY 1
             ORDER BY bool_or(upper_inf(l.during)) DESC, max(l.location_id) DESC) AS paths,
       ARRAY(SELECT c.name FROM solution_sky_cell t JOIN sky_cell c USING (sky_cell_id)
             WHERE t.solution_id = s.solution_id ORDER BY c.name) AS sky_cells
FROM unnest(CAST(:exposure_ids AS bigint[]), CAST(:file_ids AS bigint[]), CAST(:solution_ids AS bigint[]),
            CAST(:mask_ids AS bigint[])) u (exposure_id, file_id, solution_id, mask_id)
JOIN exposure e ON e.exposure_id = u.exposure_id
JOIN exposure_file f ON f.exposure_id = u.exposure_id AND f.file_id = u.file_id
JOIN wcs_solution s ON s.exposure_id = u.exposure_id AND s.solution_id = u.solution_id
ORDER BY e.rootname
