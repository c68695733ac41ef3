-- Contents of exposure files by checksum (or its beginning), or the newest that was ingested from a path.
SELECT f.file_id, f.sha256
FROM exposure_file f
WHERE length(:name) >= 8 AND :name ~ '^[0-9a-f]+$' AND starts_with(f.sha256, :name)
UNION
(SELECT f.file_id, f.sha256
 FROM file_location l
 JOIN archive_root_path r ON r.root_id = l.root_id AND upper_inf(r.during)
 JOIN exposure_file f ON f.file_id = l.file_id
 WHERE r.path || '/' || l.path = :path
 ORDER BY l.location_id DESC
 LIMIT 1)
