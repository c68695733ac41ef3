-- All about one exposure, as one JSON document.
SELECT jsonb_build_object(
    'rootname', e.rootname, 'visit', e.visit, 'proposal_id', e.proposal_id, 'instrument', e.instrument,
    'detector', e.detector, 'filter', e.filter, 'aperture', e.aperture, 'target_name', e.target_name,
    'exposure_time', e.exposure_time, 't_start', e.t_start, 't_mid', e.t_mid, 't_end', e.t_end,
    'fgs_lock', e.fgs_lock, 'exclusion_code', e.exclusion_code, 'exclusion_reason', e.exclusion_reason,
    'withdrawn', (SELECT w.reason FROM exposure_withdrawal w
                  WHERE w.exposure_id = e.exposure_id AND upper_inf(w.during)),
    'files', (
        SELECT coalesce(jsonb_agg(jsonb_build_object(
            'suffix', f.suffix, 'sha256', f.sha256, 'size_bytes', f.size_bytes, 'date', f.fits_date,
            'headerlets', f.headerlets, 'in_force', c.file_id IS NOT NULL,
            'paths', ARRAY(SELECT p.path || '/' || l.path
                           FROM file_location l
                           JOIN archive_root_path p ON p.root_id = l.root_id AND upper_inf(p.during)
                           WHERE l.file_id = f.file_id AND upper_inf(l.during) ORDER BY 1)
        ) ORDER BY f.suffix, f.file_id), '[]')
        FROM exposure_file f
        LEFT JOIN exposure_file_current c ON c.file_id = f.file_id AND upper_inf(c.during)
        WHERE f.exposure_id = e.exposure_id),
    'solutions', (
        SELECT coalesce(jsonb_agg(jsonb_build_object(
            'solution_id', s.solution_id, 'wcsname', s.wcsname, 'kind', s.kind, 'frame', s.frame,
            'nmatches', s.nmatches, 'rms_ra_mas', s.rms_ra_mas, 'rms_dec_mas', s.rms_dec_mas,
            'problem', s.problem, 'in_force', a.solution_id IS NOT NULL, 's_region', s.s_region,
            'places', ARRAY(SELECT trim(l.place || ' ' || l.key) FROM wcs_location l
                            WHERE l.solution_id = s.solution_id
                            AND (l.file_id IS NULL OR EXISTS (
                                SELECT FROM exposure_file_current h
                                WHERE h.file_id = l.file_id AND upper_inf(h.during)))
                            GROUP BY l.place, l.key ORDER BY min(l.wcs_location_id)),
            'tiles', (SELECT coalesce(jsonb_object_agg(k.name, t.fraction), '{}')
                      FROM solution_sky_cell t JOIN sky_cell k USING (sky_cell_id)
                      WHERE t.solution_id = s.solution_id)
        ) ORDER BY s.solution_id), '[]')
        FROM wcs_solution s
        LEFT JOIN wcs_active a ON a.solution_id = s.solution_id AND upper_inf(a.during)
        WHERE s.exposure_id = e.exposure_id)
)
FROM exposure e
WHERE e.rootname = :rootname
