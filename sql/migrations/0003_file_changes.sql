-- Changes of files in place: what is needed to bring the old content back, and which were undone.

CREATE TABLE file_change (
    file_change_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    path           text NOT NULL CHECK (path LIKE '/%'),
    description    text NOT NULL CHECK (description <> ''),
    before_sha256  text NOT NULL CHECK (before_sha256 ~ '^[0-9a-f]{64}$'),
    after_sha256   text NOT NULL CHECK (after_sha256 ~ '^[0-9a-f]{64}$'),
    undo           bytea NOT NULL CHECK (length(undo) > 0),
    run_id         bigint NOT NULL REFERENCES run,
    CHECK (before_sha256 <> after_sha256)
);
CREATE INDEX file_change_run ON file_change (run_id);
CREATE INDEX file_change_path ON file_change (path);

CREATE TABLE file_change_undone (
    file_change_id bigint NOT NULL REFERENCES file_change,
    outcome        text NOT NULL CHECK (outcome IN ('restored', 'never_made')),
    run_id         bigint NOT NULL REFERENCES run,
    PRIMARY KEY (file_change_id, run_id)
);

DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['file_change', 'file_change_undone'] LOOP
        EXECUTE format('CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON %I
                        FOR EACH ROW EXECUTE FUNCTION forbid_change()', name);
        EXECUTE format('CREATE TRIGGER append_only_truncate BEFORE TRUNCATE ON %I
                        FOR EACH STATEMENT EXECUTE FUNCTION forbid_change()', name);
    END LOOP;
END $$;

COMMENT ON TABLE file_change IS
    'A file changed in place, recorded before it gets its new content; hapctl undo brings the old one back.';
COMMENT ON COLUMN file_change.file_change_id IS 'number of the change';
COMMENT ON COLUMN file_change.path IS 'absolute path of the file';
COMMENT ON COLUMN file_change.description IS 'what was done, in words';
COMMENT ON COLUMN file_change.before_sha256 IS 'SHA-256 of the old content, decompressed';
COMMENT ON COLUMN file_change.after_sha256 IS 'SHA-256 of the new content, decompressed';
COMMENT ON COLUMN file_change.undo IS 'headers and data that the change took away, from which the old content is rebuilt';
COMMENT ON COLUMN file_change.run_id IS 'the run that made this row';
COMMENT ON TABLE file_change_undone IS 'Changes that were undone.';
COMMENT ON COLUMN file_change_undone.file_change_id IS 'the change';
COMMENT ON COLUMN file_change_undone.outcome IS
    'restored, or never_made: the run was killed before the file got its new content';
COMMENT ON COLUMN file_change_undone.run_id IS 'the run that undid it';
