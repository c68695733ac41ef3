SELECT r.root_id, p.path,
       (SELECT count(*) FROM file_location l WHERE l.root_id = r.root_id AND upper_inf(l.during)) AS files
FROM archive_root r
JOIN archive_root_path p ON p.root_id = r.root_id AND upper_inf(p.during)
ORDER BY p.path
