SELECT k.key FROM unnest(CAST(:keys AS text[])) k (key)
WHERE NOT EXISTS (SELECT FROM distortion_model d WHERE d.sha256 = k.key) ORDER BY k.key
