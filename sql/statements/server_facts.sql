SELECT current_setting('server_version') AS server_version,
       pg_database_size(current_database()) AS size_bytes,
       current_setting('is_superuser') = 'on' AS superuser,
       EXISTS (SELECT FROM pg_roles WHERE rolname = 'hapctl_reader') AS has_reader
