SELECT l.location_id, p.path, l.path
FROM file_location l
JOIN archive_root_path p ON p.root_id = l.root_id AND upper_inf(p.during)
WHERE l.file_id = :file_id AND upper_inf(l.during) AND (l.root_id, l.path) <> (:root_id, :path)
