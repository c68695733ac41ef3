INSERT INTO wcs_solution (
    exposure_id, wcsname, transformation_sha256, kind, base, idc_root, mode, catalog, suffix, frame,
    alignment_group_id, nmatches, rms_ra_mas, rms_dec_mas, fit_geometry, keywords, problem, footprint, s_region,
    headerlet, headerlet_sha256, run_id
)
VALUES (
    :exposure_id, :wcsname, :transformation_sha256, :kind, :base, :idc_root, :mode, :catalog, :suffix, :frame,
    :alignment_group_id, :nmatches, :rms_ra_mas, :rms_dec_mas, :fit_geometry, CAST(:keywords AS jsonb), :problem,
    CAST(:footprint AS int8multirange), :s_region, :headerlet, :headerlet_sha256, :run_id
)
