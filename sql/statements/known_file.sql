SELECT l.location_id, l.file_id, e.rootname, f.suffix, l.size_bytes, l.mtime_ns, f.headerlets,
       (SELECT count(*) FROM wcs_location w WHERE w.file_id = l.file_id) AS solutions
FROM file_location l
JOIN exposure_file f USING (file_id)
JOIN exposure e USING (exposure_id)
WHERE l.root_id = :root_id AND l.path = :path AND upper_inf(l.during)
