-- Recalls: what a bad run, file, solution or product led to, taken out of use together, and given back when that was wrong.

CREATE TABLE recall (
    recall_id       bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    target          text NOT NULL,
    recalled_run_id bigint REFERENCES run,
    file_id         bigint REFERENCES exposure_file,
    solution_id     bigint REFERENCES wcs_solution,
    product_id      bigint REFERENCES product,
    reason          text NOT NULL CONSTRAINT recall_reason_given CHECK (reason <> ''),
    run_id          bigint NOT NULL REFERENCES run,
    CONSTRAINT recall_target_known CHECK (target IN ('run', 'file', 'solution', 'product')),
    CONSTRAINT recall_of_one_thing CHECK (
        (target = 'run') = (recalled_run_id IS NOT NULL) AND (target = 'file') = (file_id IS NOT NULL)
        AND (target = 'solution') = (solution_id IS NOT NULL) AND (target = 'product') = (product_id IS NOT NULL))
);

CREATE TABLE recall_release (
    recall_id bigint PRIMARY KEY REFERENCES recall,
    reason    text NOT NULL CONSTRAINT recall_release_reason_given CHECK (reason <> ''),
    run_id    bigint NOT NULL REFERENCES run
);

CREATE TABLE recalled_file (
    recall_id bigint NOT NULL REFERENCES recall,
    file_id   bigint NOT NULL REFERENCES exposure_file,
    PRIMARY KEY (recall_id, file_id)
);
CREATE INDEX recalled_file_file ON recalled_file (file_id);

CREATE TABLE recalled_query (
    recall_id          bigint NOT NULL REFERENCES recall,
    reference_query_id bigint NOT NULL REFERENCES reference_query,
    PRIMARY KEY (recall_id, reference_query_id)
);
CREATE INDEX recalled_query_query ON recalled_query (reference_query_id);

CREATE TABLE recalled_solution (
    recall_id   bigint NOT NULL REFERENCES recall,
    exposure_id bigint NOT NULL,
    solution_id bigint NOT NULL,
    origin      text,
    PRIMARY KEY (recall_id, solution_id),
    FOREIGN KEY (exposure_id, solution_id) REFERENCES wcs_solution (exposure_id, solution_id),
    CONSTRAINT recalled_solution_origin_known CHECK (origin IN ('ingest', 'align', 'manual'))
);
CREATE INDEX recalled_solution_solution ON recalled_solution (solution_id);

CREATE TABLE recalled_mask (
    recall_id   bigint NOT NULL REFERENCES recall,
    exposure_id bigint NOT NULL,
    mask_id     bigint NOT NULL,
    was_current boolean NOT NULL,
    PRIMARY KEY (recall_id, mask_id),
    FOREIGN KEY (exposure_id, mask_id) REFERENCES exposure_mask (exposure_id, mask_id)
);
CREATE INDEX recalled_mask_mask ON recalled_mask (mask_id);

CREATE TABLE recalled_product (
    recall_id   bigint NOT NULL REFERENCES recall,
    product_id  bigint NOT NULL REFERENCES product,
    was_current boolean NOT NULL,
    PRIMARY KEY (recall_id, product_id)
);
CREATE INDEX recalled_product_product ON recalled_product (product_id);

CREATE TABLE recalled_product_dropped (
    recall_id  bigint NOT NULL,
    product_id bigint NOT NULL,
    run_id     bigint NOT NULL REFERENCES run,
    PRIMARY KEY (recall_id, product_id),
    FOREIGN KEY (recall_id, product_id) REFERENCES recalled_product (recall_id, product_id)
);

-- What is moved to quarantine or back; gone when it is done, so this one is no history.
CREATE TABLE recall_pending (
    recall_pending_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    recall_id         bigint NOT NULL REFERENCES recall,
    moves             jsonb NOT NULL,
    run_id            bigint NOT NULL REFERENCES run
);

DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['recall', 'recall_release', 'recalled_file', 'recalled_query', 'recalled_solution',
                                'recalled_mask', 'recalled_product', 'recalled_product_dropped'] LOOP
        EXECUTE format('CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON %I
                        FOR EACH ROW EXECUTE FUNCTION forbid_change()', name);
        EXECUTE format('CREATE TRIGGER append_only_truncate BEFORE TRUNCATE ON %I
                        FOR EACH STATEMENT EXECUTE FUNCTION forbid_change()', name);
    END LOOP;
END $$;

CREATE FUNCTION forbid_recalled_solution() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM recalled_solution r
               WHERE r.solution_id = NEW.solution_id
                 AND NOT EXISTS (SELECT FROM recall_release b WHERE b.recall_id = r.recall_id)) THEN
        RAISE EXCEPTION 'solution % cannot be put in force: it was recalled', NEW.solution_id
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END $$;

CREATE TRIGGER not_recalled BEFORE INSERT ON wcs_active
    FOR EACH ROW EXECUTE FUNCTION forbid_recalled_solution();

CREATE FUNCTION forbid_recalled_product() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM recalled_product r
               WHERE r.product_id = NEW.product_id
                 AND NOT EXISTS (SELECT FROM recall_release b WHERE b.recall_id = r.recall_id)) THEN
        RAISE EXCEPTION 'product % cannot be put in force: it was recalled', NEW.product_id
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END $$;

CREATE TRIGGER not_recalled BEFORE INSERT ON product_current
    FOR EACH ROW EXECUTE FUNCTION forbid_recalled_product();

COMMENT ON TABLE recall IS 'A bad run, file, solution or product, recalled with all that was made from it.';
COMMENT ON COLUMN recall.recall_id IS 'number of the recall';
COMMENT ON COLUMN recall.target IS 'what is bad: run, file, solution or product';
COMMENT ON COLUMN recall.recalled_run_id IS 'the bad run; NULL: another thing is bad';
COMMENT ON COLUMN recall.file_id IS 'the bad content of an exposure file; NULL: another thing is bad';
COMMENT ON COLUMN recall.solution_id IS 'the bad WCS solution; NULL: another thing is bad';
COMMENT ON COLUMN recall.product_id IS 'the bad product; NULL: another thing is bad';
COMMENT ON COLUMN recall.reason IS 'why, in words';
COMMENT ON COLUMN recall.run_id IS 'the run that made this row';
COMMENT ON TABLE recall_release IS 'The end of a recall that was a mistake.';
COMMENT ON COLUMN recall_release.recall_id IS 'the recall';
COMMENT ON COLUMN recall_release.reason IS 'why, in words';
COMMENT ON COLUMN recall_release.run_id IS 'the run that made this row';
COMMENT ON TABLE recalled_file IS
    'A recalled content of an exposure file: while it is the one in force its exposure goes into no product.';
COMMENT ON COLUMN recalled_file.recall_id IS 'the recall';
COMMENT ON COLUMN recalled_file.file_id IS 'the content of an exposure file';
COMMENT ON TABLE recalled_query IS 'A recalled answer of a reference catalog: it is not used again.';
COMMENT ON COLUMN recalled_query.recall_id IS 'the recall';
COMMENT ON COLUMN recalled_query.reference_query_id IS 'the question and its answer';
COMMENT ON TABLE recalled_solution IS 'A recalled WCS solution: it can''t be put in force.';
COMMENT ON COLUMN recalled_solution.recall_id IS 'the recall';
COMMENT ON COLUMN recalled_solution.exposure_id IS 'the exposure';
COMMENT ON COLUMN recalled_solution.solution_id IS 'the WCS solution';
COMMENT ON COLUMN recalled_solution.origin IS 'how it had been put in force; NULL: it was not in force when it was recalled';
COMMENT ON TABLE recalled_mask IS 'A recalled cosmic-ray mask: it is not used again.';
COMMENT ON COLUMN recalled_mask.recall_id IS 'the recall';
COMMENT ON COLUMN recalled_mask.exposure_id IS 'the exposure';
COMMENT ON COLUMN recalled_mask.mask_id IS 'the mask';
COMMENT ON COLUMN recalled_mask.was_current IS 'whether it was in force when it was recalled';
COMMENT ON TABLE recalled_product IS 'A recalled product: it is not in force, and its files are in quarantine.';
COMMENT ON COLUMN recalled_product.recall_id IS 'the recall';
COMMENT ON COLUMN recalled_product.product_id IS 'the product';
COMMENT ON COLUMN recalled_product.was_current IS 'whether it was in force when it was recalled: then it waits for a rebuild';
COMMENT ON TABLE recalled_product_dropped IS 'A recalled product that waits no more for a rebuild: nothing makes it now.';
COMMENT ON COLUMN recalled_product_dropped.recall_id IS 'the recall';
COMMENT ON COLUMN recalled_product_dropped.product_id IS 'the product';
COMMENT ON COLUMN recalled_product_dropped.run_id IS 'the run that made this row';
COMMENT ON TABLE recall_pending IS 'Files to be moved to quarantine or back; the next command finishes what a killed one left.';
COMMENT ON COLUMN recall_pending.recall_pending_id IS 'number of this row';
COMMENT ON COLUMN recall_pending.recall_id IS 'the recall';
COMMENT ON COLUMN recall_pending.moves IS 'from, to and sha256 of each file';
COMMENT ON COLUMN recall_pending.run_id IS 'the run that made this row';
