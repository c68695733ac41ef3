-- Proposal, visit and exposure in one statement; foreign keys are checked at its end. The update that changes nothing
-- locks an exposure that is there, and makes it return its number.
WITH new_proposal AS (
    INSERT INTO proposal (proposal_id, run_id)
    SELECT CAST(:proposal_id AS integer), :run_id WHERE CAST(:proposal_id AS integer) IS NOT NULL
    ON CONFLICT DO NOTHING
),
new_visit AS (
    INSERT INTO visit (visit, proposal_id, instrument, run_id)
    VALUES (:visit, :proposal_id, :instrument, :run_id)
    ON CONFLICT DO NOTHING
)
INSERT INTO exposure (
    rootname, visit, proposal_id, instrument, detector, filter, filter_elements, aperture, target_name, obstype,
    image_type, fgs_lock, scan_type, moving_target, exposure_time, t_start, t_mid, t_end, mjd_start, mjd_end,
    ra_target, dec_target, pa_v3, exclusion_code, exclusion_reason, run_id, updated_run_id
)
VALUES (
    :rootname, :visit, :proposal_id, :instrument, :detector, :filter, :filter_elements, :aperture, :target_name,
    :obstype, :image_type, :fgs_lock, :scan_type, :moving_target, :exposure_time, :t_start, :t_mid, :t_end,
    :mjd_start, :mjd_end, :ra_target, :dec_target, :pa_v3, :exclusion_code, :exclusion_reason, :run_id, :run_id
)
ON CONFLICT (rootname) DO UPDATE SET rootname = EXCLUDED.rootname
RETURNING exposure_id, xmax = 0 AS is_new
