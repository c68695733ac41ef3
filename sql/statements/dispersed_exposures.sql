SELECT e.exposure_id, e.rootname, e.visit, e.detector, f.suffix, (e.mjd_start + e.mjd_end) / 2 AS mjd
FROM exposure e
JOIN wcs_active a ON a.exposure_id = e.exposure_id AND upper_inf(a.during)
JOIN LATERAL (
    SELECT c.suffix FROM exposure_file_current c
    WHERE c.exposure_id = e.exposure_id AND upper_inf(c.during)
    ORDER BY array_position(ARRAY['flc', 'flt', 'c0m', 'c0f'], c.suffix), c.suffix
    LIMIT 1
) f ON true
WHERE e.exposure_id = ANY (CAST(:exposure_ids AS bigint[])) AND e.mjd_start IS NOT NULL AND e.mjd_end IS NOT NULL
ORDER BY e.rootname
