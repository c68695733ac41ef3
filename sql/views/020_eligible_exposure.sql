-- What would go into products now: not excluded, not withdrawn, with a solution in force and a current file that was not
-- recalled. Of several files of an exposure the CTE-corrected one is taken; where that was recalled, none is.
CREATE OR REPLACE VIEW eligible_exposure AS
SELECT e.exposure_id, e.rootname, e.visit, e.instrument, e.detector, e.filter, e.exposure_time, e.t_mid,
       f.file_id, f.suffix, a.solution_id, s.wcsname,
       COALESCE(a.frame, s.frame) AS frame, s.base, s.idc_root, s.frame LIKE 'GAIA-%' AS absolute, m.mask_id
FROM exposure e
JOIN wcs_active a ON a.exposure_id = e.exposure_id AND upper_inf(a.during)
JOIN wcs_solution s ON s.solution_id = a.solution_id
CROSS JOIN LATERAL (
    SELECT c.file_id, c.suffix
    FROM exposure_file_current c
    WHERE c.exposure_id = e.exposure_id AND upper_inf(c.during)
    ORDER BY array_position(ARRAY['flc', 'flt', 'c0m', 'c0f'], c.suffix), c.suffix
    LIMIT 1
) f
LEFT JOIN exposure_mask_current m ON m.exposure_id = e.exposure_id AND upper_inf(m.during)
WHERE e.exclusion_code IS NULL
  AND NOT EXISTS (SELECT FROM exposure_withdrawal w WHERE w.exposure_id = e.exposure_id AND upper_inf(w.during))
  AND NOT EXISTS (SELECT FROM recalled_file r JOIN recall_in_force USING (recall_id) WHERE r.file_id = f.file_id);

COMMENT ON VIEW eligible_exposure IS 'Exposures that may be mosaicked now, with file, solution and mask in force.';
