-- title: Residuals of fits against brightness and distance from the read-out: charge transfer
-- sentence: Averages, for each detector, chip, magnitude and distance from the read-out amplifiers, how far stars were
--     measured from where the joint solution has them, along the columns of the detector. Charge that trails behind
--     faint stars far from the read-out shows as a mean that grows with distance.
-- param instrument text = %: only this instrument (an SQL pattern)
-- param rows_in_bin integer = 512: rows of a bin in y
-- param least_snr number = 5: stars below it are left out
WITH fitted AS (
    -- The attempts that made the solutions in force, newest first.
    SELECT DISTINCT ON (t.exposure_id) t.attempt_id, t.exposure_id, t.solution_id
    FROM alignment_attempt t
    JOIN wcs_active a ON a.exposure_id = t.exposure_id AND a.solution_id = t.solution_id AND upper_inf(a.during)
    WHERE t.outcome = 'accepted'
    ORDER BY t.exposure_id, t.attempt_id DESC
),
residual AS (
    -- The column direction on the sky, from CD: a step of one row is (cd1_2, cd2_2) degrees.
    SELECT e.instrument, e.detector, e.filter, c.chip, m.instrumental_magnitude AS magnitude,
           -- The upper chip of two (SCI,2) is read at its top, all others at the bottom.
           CASE WHEN m.extver = 2 AND e.detector IN ('WFC', 'UVIS') THEN c.ny - m.y ELSE m.y END AS rows_from_readout,
           (m.residual_ra_mas * c.cd1_2 + m.residual_dec_mas * c.cd2_2) / sqrt(c.cd1_2 ^ 2 + c.cd2_2 ^ 2) AS along_y_mas,
           m.error_mas
    FROM fitted f
    JOIN star_match m USING (attempt_id)
    JOIN exposure e USING (exposure_id)
    JOIN wcs_chip c ON c.solution_id = f.solution_id AND c.extver = m.extver
    WHERE m.used AND m.instrumental_magnitude IS NOT NULL AND m.snr >= CAST(:least_snr AS double precision)
      AND e.instrument LIKE :instrument
)
SELECT instrument, detector, filter, chip, floor(magnitude) AS magnitude_from,
       CAST(floor(rows_from_readout / CAST(:rows_in_bin AS integer)) AS integer) * CAST(:rows_in_bin AS integer) AS y_from,
       count(*) AS stars, round(CAST(avg(along_y_mas) AS numeric), 3) AS mean_along_y_mas,
       round(CAST(stddev(along_y_mas) / sqrt(count(*)) AS numeric), 3) AS error_mas
FROM residual
GROUP BY instrument, detector, filter, chip, magnitude_from, y_from
HAVING count(*) > 1
ORDER BY instrument, detector, filter, chip, magnitude_from, y_from
