-- Products of every kind, how they were asked for, and what the products of other pipelines say of themselves.

ALTER TABLE product
    DROP CONSTRAINT product_kind_check,
    DROP CONSTRAINT product_check,
    DROP CONSTRAINT product_check1,
    ALTER COLUMN policy_id DROP NOT NULL,
    ALTER COLUMN wcs_policy DROP NOT NULL,
    ADD COLUMN origin text NOT NULL DEFAULT 'made' CHECK (origin IN ('made', 'import')),
    ADD COLUMN request jsonb NOT NULL DEFAULT '{}',
    ADD COLUMN label text NOT NULL DEFAULT '',
    ADD CONSTRAINT product_kind_known
        CHECK (kind IN ('exposure', 'filter', 'total', 'grism', 'layer', 'mosaic', 'association')),
    ADD CONSTRAINT product_layer_has_tile CHECK (kind <> 'layer' OR sky_cell_id IS NOT NULL),
    ADD CONSTRAINT product_tile_of_layer CHECK (sky_cell_id IS NULL OR kind = 'layer'),
    ADD CONSTRAINT product_visit_of_visit
        CHECK (origin = 'import' OR (kind IN ('exposure', 'filter', 'total', 'grism')) = (visit IS NOT NULL)),
    ADD CONSTRAINT product_made_by_policy CHECK ((origin = 'made') = (policy_id IS NOT NULL AND wcs_policy IS NOT NULL)),
    ADD CONSTRAINT product_association_is_import CHECK (kind <> 'association' OR origin = 'import');

COMMENT ON COLUMN product.kind IS
    'exposure, filter, total, grism (of a visit), layer (of a sky tile), mosaic (of a chosen field), association (of the archive''s pipeline)';
COMMENT ON COLUMN product.origin IS 'made here, or import: a file that another pipeline made';
COMMENT ON COLUMN product.request IS 'the options it was asked for with, so that it can be asked for again in the same way';
COMMENT ON COLUMN product.label IS 'which part of a split layer or mosaic it is (an epoch, a proposal); empty: all of it';

ALTER TABLE product_file
    DROP CONSTRAINT product_file_kind_check,
    ADD CONSTRAINT product_file_kind_known
        CHECK (kind IN ('fits', 'preview', 'trailer', 'headerlet', 'calibrated'));
COMMENT ON COLUMN product_file.kind IS
    'fits: the product; preview: a picture; trailer: its log; headerlet: the WCS of an exposure; calibrated: an exposure with that WCS';

CREATE TABLE product_claimed_input (
    product_id    bigint NOT NULL REFERENCES product,
    number        integer NOT NULL CHECK (number >= 0),
    file_name     text NOT NULL CHECK (file_name <> ''),
    rootname      text NOT NULL DEFAULT '',
    extver        integer CHECK (extver > 0),
    wcsname       text NOT NULL DEFAULT '',
    exposure_time double precision CHECK (exposure_time >= 0 AND exposure_time < 'Infinity'),
    exposure_id   bigint REFERENCES exposure,
    solution_id   bigint,
    PRIMARY KEY (product_id, number),
    FOREIGN KEY (exposure_id, solution_id) REFERENCES wcs_solution (exposure_id, solution_id)
);
CREATE INDEX product_claimed_input_exposure ON product_claimed_input (exposure_id);

CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON product_claimed_input
    FOR EACH ROW EXECUTE FUNCTION forbid_change();
CREATE TRIGGER append_only_truncate BEFORE TRUNCATE ON product_claimed_input
    FOR EACH STATEMENT EXECUTE FUNCTION forbid_change();

COMMENT ON TABLE product_claimed_input IS 'What a product made elsewhere says it was made from, chip by chip.';
COMMENT ON COLUMN product_claimed_input.product_id IS 'the product';
COMMENT ON COLUMN product_claimed_input.number IS 'place in its table of inputs, from 0';
COMMENT ON COLUMN product_claimed_input.file_name IS 'the file as it is named there';
COMMENT ON COLUMN product_claimed_input.rootname IS 'exposure, as far as the name tells; empty: not told';
COMMENT ON COLUMN product_claimed_input.extver IS 'EXTVER of the chip; NULL: not told';
COMMENT ON COLUMN product_claimed_input.wcsname IS 'WCSNAME as it is named there; empty: not told';
COMMENT ON COLUMN product_claimed_input.exposure_time IS 'seconds, as told there';
COMMENT ON COLUMN product_claimed_input.exposure_id IS 'the exposure of the catalog it is; NULL: not ingested';
COMMENT ON COLUMN product_claimed_input.solution_id IS 'the solution of that exposure under that WCSNAME; NULL: not known or not unique';
