-- Exposures that may be mosaicked now, of a visit, touching a tile, near a field, or named, with all that a product needs to know of them.
WITH wanted AS (
    SELECT exposure_id FROM exposure WHERE visit = :visit
    UNION
    SELECT exposure_id FROM exposure WHERE rootname = ANY (CAST(:rootnames AS text[]))
    UNION
    SELECT a.exposure_id FROM solution_sky_cell t
    JOIN wcs_active a ON a.solution_id = t.solution_id AND upper_inf(a.during)
    WHERE t.sky_cell_id = :sky_cell_id
    UNION
    SELECT a.exposure_id FROM wcs_solution f
    JOIN wcs_active a ON a.solution_id = f.solution_id AND upper_inf(a.during)
    WHERE f.footprint && CAST(:footprint AS int8multirange)
)
SELECT q.exposure_id, q.rootname, q.visit, e.proposal_id, q.instrument, q.detector, q.filter, e.filter_elements,
       e.target_name, q.exposure_time, e.mjd_start, e.mjd_end, q.file_id, q.suffix, f.sha256 AS file_sha256,
       f.size_bytes, q.solution_id, q.wcsname, q.frame, q.idc_root, q.absolute, s.transformation_sha256,
       s.keywords, s.run_id AS solution_run, q.mask_id,
       ARRAY(SELECT r.path || '/' || l.path
             FROM file_location l
             JOIN archive_root_path r ON r.root_id = l.root_id AND upper_inf(r.during)
             WHERE l.file_id = q.file_id AND upper_inf(l.during)
             ORDER BY l.location_id DESC) AS paths,
       ARRAY(SELECT c.name FROM solution_sky_cell t JOIN sky_cell c USING (sky_cell_id)
             WHERE t.solution_id = q.solution_id ORDER BY c.name) AS sky_cells
FROM eligible_exposure q
JOIN exposure e USING (exposure_id)
JOIN exposure_file f ON f.file_id = q.file_id
JOIN wcs_solution s ON s.solution_id = q.solution_id
WHERE q.exposure_id = ANY (ARRAY(SELECT exposure_id FROM wanted))
ORDER BY q.rootname
