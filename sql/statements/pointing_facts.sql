SELECT e.exposure_id, e.fgs_lock, f.primary_header
FROM exposure e
JOIN LATERAL (
    SELECT x.primary_header
    FROM exposure_file_current c
    JOIN exposure_file x USING (exposure_id, file_id)
    WHERE c.exposure_id = e.exposure_id AND upper_inf(c.during)
    ORDER BY array_position(ARRAY['flc', 'flt', 'c0m', 'c0f'], c.suffix), c.suffix
    LIMIT 1
) f ON true
WHERE e.exposure_id = ANY (CAST(:exposure_ids AS bigint[]))
