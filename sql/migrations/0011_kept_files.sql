-- Files of products that were replaced, kept on request; and files found by their path.

CREATE TABLE product_file_kept (
    product_file_id bigint PRIMARY KEY REFERENCES product_file,
    path            text NOT NULL UNIQUE CHECK (path <> ''),
    run_id          bigint NOT NULL REFERENCES run
);

CREATE INDEX product_file_path ON product_file (path);

CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON product_file_kept
    FOR EACH ROW EXECUTE FUNCTION forbid_change();
CREATE TRIGGER append_only_truncate BEFORE TRUNCATE ON product_file_kept
    FOR EACH STATEMENT EXECUTE FUNCTION forbid_change();

COMMENT ON TABLE product_file_kept IS 'Where the file of a product lies since another product took its place; without a row it is not kept.';
COMMENT ON COLUMN product_file_kept.product_file_id IS 'the file';
COMMENT ON COLUMN product_file_kept.path IS 'absolute path or URI';
COMMENT ON COLUMN product_file_kept.run_id IS 'the run that replaced the product';
