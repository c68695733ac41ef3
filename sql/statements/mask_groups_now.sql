-- The groups of exposures that are compared with each other, with their masks in force.
SELECT q.visit, q.detector, q.filter, count(*) AS exposures, min(e.mjd_start) AS start_mjd,
       array_agg(q.exposure_id) AS exposure_ids, array_agg(DISTINCT m.parameters_sha256) AS parameters_sha256s
FROM eligible_exposure q
JOIN exposure e USING (exposure_id)
LEFT JOIN exposure_mask m ON m.mask_id = q.mask_id
WHERE e.mjd_start IS NOT NULL
GROUP BY q.visit, q.instrument, q.detector, q.filter, q.frame
