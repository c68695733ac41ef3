SELECT k.key FROM unnest(CAST(:keys AS text[])) k (key)
WHERE NOT EXISTS (SELECT FROM lookup_table t WHERE t.sha256 = k.key) ORDER BY k.key
