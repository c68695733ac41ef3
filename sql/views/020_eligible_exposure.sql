-- What would go into products now: not excluded, not withdrawn, with a solution in force and a current file that was not
-- recalled. Of several files of an exposure the CTE-corrected one is taken; where that was recalled, none is.
-- The solution is joined as LEFT, though always there, and the mask looked up: who asks for neither does not pay for them.
CREATE OR REPLACE VIEW eligible_exposure AS
SELECT e.exposure_id, e.rootname, e.visit, e.instrument, e.detector, e.filter, e.exposure_time, e.t_mid,
       f.file_id, f.suffix, a.solution_id, s.wcsname,
       COALESCE(a.frame, s.frame) AS frame, s.base, s.idc_root, s.frame LIKE 'GAIA-%' AS absolute,
       (SELECT m.mask_id FROM exposure_mask_current m WHERE m.exposure_id = e.exposure_id AND upper_inf(m.during)) AS mask_id
FROM exposure e
JOIN wcs_active a ON a.exposure_id = e.exposure_id AND upper_inf(a.during)
LEFT JOIN wcs_solution s ON s.solution_id = a.solution_id
JOIN exposure_file_current f ON f.exposure_id = e.exposure_id AND upper_inf(f.during)
WHERE e.exclusion_code IS NULL
  AND NOT EXISTS (
      SELECT FROM exposure_file_current b
      WHERE b.exposure_id = e.exposure_id AND upper_inf(b.during)
        AND (COALESCE(array_position(ARRAY['flc', 'flt', 'c0m', 'c0f'], b.suffix), 5), b.suffix)
            < (COALESCE(array_position(ARRAY['flc', 'flt', 'c0m', 'c0f'], f.suffix), 5), f.suffix))
  AND NOT EXISTS (SELECT FROM exposure_withdrawal w WHERE w.exposure_id = e.exposure_id AND upper_inf(w.during))
  AND NOT EXISTS (SELECT FROM recalled_file r JOIN recall_in_force USING (recall_id) WHERE r.file_id = f.file_id);

COMMENT ON VIEW eligible_exposure IS 'Exposures that may be mosaicked now, with file, solution and mask in force.';
