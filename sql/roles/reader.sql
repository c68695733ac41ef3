-- What the reader may do: read every table and view of the catalog, and nothing else. The limits set on the role are
-- only its defaults (a session may change them), so the client keeps them too.

DO $$
DECLARE
    name text;
BEGIN
    FOR name IN
        SELECT nspname FROM pg_namespace
        WHERE nspname !~ '^pg_' AND nspname <> 'information_schema'
              AND (nspowner = current_user::regrole OR nspname = 'public')
    LOOP
        EXECUTE format('GRANT USAGE ON SCHEMA %I TO hapctl_reader', name);
        EXECUTE format('GRANT SELECT ON ALL TABLES IN SCHEMA %I TO hapctl_reader', name);
    END LOOP;
    -- Only the owner of a database may say who makes temporary tables in it.
    IF (SELECT datdba FROM pg_database WHERE datname = current_database()) = current_user::regrole THEN
        EXECUTE format('REVOKE TEMPORARY ON DATABASE %I FROM PUBLIC', current_database());
        EXECUTE format('GRANT CONNECT ON DATABASE %I TO hapctl_reader', current_database());
    END IF;
END $$;
