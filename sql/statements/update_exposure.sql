UPDATE exposure SET
    proposal_id = :proposal_id, instrument = :instrument, detector = :detector, filter = :filter,
    filter_elements = :filter_elements, aperture = :aperture, target_name = :target_name, obstype = :obstype,
    image_type = :image_type, fgs_lock = :fgs_lock, scan_type = :scan_type, moving_target = :moving_target,
    exposure_time = :exposure_time, t_start = :t_start, t_mid = :t_mid, t_end = :t_end, mjd_start = :mjd_start,
    mjd_end = :mjd_end, ra_target = :ra_target, dec_target = :dec_target, pa_v3 = :pa_v3,
    exclusion_code = :exclusion_code, exclusion_reason = :exclusion_reason, updated_run_id = :run_id
WHERE rootname = :rootname
