SELECT (SELECT f.file_id FROM exposure_file f
        WHERE f.exposure_id = :exposure_id AND f.suffix = :suffix AND f.sha256 = :sha256) AS file_id,
       c.file_id AS current_file_id, g.fits_date,
       ARRAY(SELECT o.suffix FROM exposure_file_current o
             WHERE o.exposure_id = :exposure_id AND upper_inf(o.during)) AS suffixes,
       (SELECT a.origin FROM wcs_active a WHERE a.exposure_id = :exposure_id AND upper_inf(a.during)) AS origin,
       EXISTS (SELECT FROM recalled_file r JOIN recall_in_force USING (recall_id) WHERE r.file_id = c.file_id) AS recalled
FROM (VALUES (1)) one
LEFT JOIN exposure_file_current c
    ON c.exposure_id = :exposure_id AND c.suffix = :suffix AND upper_inf(c.during)
LEFT JOIN exposure_file g ON g.file_id = c.file_id
