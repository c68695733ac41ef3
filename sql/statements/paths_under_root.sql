SELECT path FROM file_location WHERE root_id = :root_id AND upper_inf(during) ORDER BY path
