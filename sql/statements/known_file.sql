-- The file at a place, why it is of no use (withdrawn, recalled), and whether it may be again: the one in force was recalled.
SELECT l.location_id, l.file_id, e.rootname, f.suffix, l.size_bytes, l.mtime_ns, f.headerlets,
       (SELECT count(*) FROM wcs_location w WHERE w.file_id = l.file_id) AS solutions,
       (SELECT w.reason FROM exposure_withdrawal w WHERE w.exposure_id = e.exposure_id AND upper_inf(w.during)) AS withdrawn,
       (SELECT 'recall ' || min(w.recall_id) || ' (' || string_agg(DISTINCT w.reason, '; ') || ')'
        FROM recalled_file r JOIN recall_in_force w USING (recall_id)
        WHERE r.file_id = l.file_id
        HAVING count(*) > 0) AS recalled,
       EXISTS (SELECT FROM exposure_file_current c
               JOIN recalled_file r USING (file_id)
               JOIN recall_in_force USING (recall_id)
               WHERE c.exposure_id = f.exposure_id AND c.suffix = f.suffix AND upper_inf(c.during)
                 AND c.file_id <> l.file_id) AS wanted
FROM file_location l
JOIN exposure_file f USING (file_id)
JOIN exposure e USING (exposure_id)
WHERE l.root_id = :root_id AND l.path = :path AND upper_inf(l.during)
