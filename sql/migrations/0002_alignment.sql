-- Joint alignments: groups of a visit, a tile or any exposures; what is known of each member before and after the fit;
-- steps of a ladder of catalogs; stars measured in several exposures. What version 1 recorded stays readable.

-- Policies of more kinds: the ladder of catalogs, methods and geometries, and the order of preference of solutions -------

ALTER TABLE policy
    DROP CONSTRAINT policy_kind_check,
    ADD CONSTRAINT policy_kind_check CHECK (kind IN ('acceptance', 'products', 'ladder', 'preference'));

DO $$
DECLARE
    exclusion text;
BEGIN
    -- Named by the server after its expression, which differs between versions.
    SELECT conname INTO STRICT exclusion FROM pg_constraint
    WHERE conrelid = 'policy_active'::regclass AND contype = 'x';
    EXECUTE format('ALTER TABLE policy_active DROP CONSTRAINT %I', exclusion);
END $$;
ALTER TABLE policy_active
    DROP CONSTRAINT policy_active_kind_check,
    ADD CONSTRAINT policy_active_kind_check CHECK (kind IN ('acceptance', 'products', 'ladder', 'preference')),
    ADD CONSTRAINT policy_active_one_of_a_kind EXCLUDE USING gist (
        (CASE kind
             WHEN 'acceptance' THEN int4range(1, 1, '[]')
             WHEN 'products' THEN int4range(2, 2, '[]')
             WHEN 'ladder' THEN int4range(3, 3, '[]')
             ELSE int4range(4, 4, '[]')
         END) WITH &&,
        during WITH &&
    );

-- Groups ------------------------------------------------------------------------------------------------------------------

-- The groups of version 1 are all of a visit; that is what the new columns say of them.
ALTER TABLE alignment_group
    ALTER COLUMN visit DROP NOT NULL,
    ALTER COLUMN detector DROP NOT NULL,
    ADD COLUMN scope text NOT NULL DEFAULT 'visit',
    ADD COLUMN scope_name text,
    ADD COLUMN part integer NOT NULL DEFAULT 0,
    ADD COLUMN figures jsonb NOT NULL DEFAULT '{}';
ALTER TABLE alignment_group DISABLE TRIGGER append_only;
UPDATE alignment_group SET scope_name = visit;
ALTER TABLE alignment_group ENABLE TRIGGER append_only;
ALTER TABLE alignment_group
    ALTER COLUMN scope DROP DEFAULT,
    ALTER COLUMN scope_name SET NOT NULL,
    DROP CONSTRAINT alignment_group_visit_detector_inputs_sha256_key,
    ADD CONSTRAINT alignment_group_scope_check CHECK (scope IN ('visit', 'tile', 'exposures')),
    ADD CONSTRAINT alignment_group_scope_name_check CHECK (scope_name <> ''),
    ADD CONSTRAINT alignment_group_part_check CHECK (part >= 0),
    ADD CONSTRAINT alignment_group_check1 CHECK ((scope = 'visit') = (visit IS NOT NULL)),
    ADD CONSTRAINT alignment_group_one UNIQUE (scope, scope_name, inputs_sha256, part);
CREATE INDEX alignment_group_inputs ON alignment_group (inputs_sha256);

CREATE TABLE alignment_member (
    alignment_group_id  bigint NOT NULL REFERENCES alignment_group,
    exposure_id         bigint NOT NULL REFERENCES exposure,
    solution_id         bigint NOT NULL,
    guide_star_set      integer NOT NULL,
    prior               jsonb NOT NULL,
    centre              double precision[] NOT NULL CHECK (cardinality(centre) = 2),
    correction          double precision[] NOT NULL CHECK (cardinality(correction) = 6),
    covariance          double precision[] NOT NULL CHECK (cardinality(covariance) = 36),
    predicted_error_mas double precision NOT NULL CHECK (predicted_error_mas >= 0 AND predicted_error_mas < 'Infinity'),
    common_floor_mas    double precision NOT NULL CHECK (common_floor_mas >= 0 AND common_floor_mas < 'Infinity'),
    run_id              bigint NOT NULL REFERENCES run,
    PRIMARY KEY (alignment_group_id, exposure_id),
    FOREIGN KEY (exposure_id, solution_id) REFERENCES wcs_solution (exposure_id, solution_id)
);
CREATE INDEX alignment_member_exposure ON alignment_member (exposure_id);
CREATE INDEX alignment_member_solution ON alignment_member (solution_id);
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON alignment_member
    FOR EACH ROW EXECUTE FUNCTION forbid_change();
CREATE TRIGGER append_only_truncate BEFORE TRUNCATE ON alignment_member
    FOR EACH STATEMENT EXECUTE FUNCTION forbid_change();

-- Attempts and stars --------------------------------------------------------------------------------------------------------

-- A joint attempt may name a catalog (it ties the exposures to it) or none (only to each other).
ALTER TABLE alignment_attempt
    DROP CONSTRAINT alignment_attempt_method_check,
    ADD CONSTRAINT alignment_attempt_method_check CHECK (method IN ('relative', 'absolute', 'joint')),
    DROP CONSTRAINT alignment_attempt_check,
    ADD CONSTRAINT alignment_attempt_check CHECK (method = 'joint' OR (method = 'absolute') = (catalog IS NOT NULL)),
    ADD COLUMN ladder_policy_id bigint REFERENCES policy,
    ADD COLUMN ladder_step integer CHECK (ladder_step > 0),
    ADD COLUMN inputs_sha256 text CHECK (inputs_sha256 ~ '^[0-9a-f]{64}$'),
    ADD CONSTRAINT alignment_attempt_ladder_check CHECK ((ladder_policy_id IS NULL) = (ladder_step IS NULL));

CREATE INDEX alignment_attempt_inputs ON alignment_attempt (inputs_sha256);

-- A member of a group put in force without the others is good in a frame of its own.
ALTER TABLE wcs_active ADD COLUMN frame text CHECK (frame <> '');

ALTER TABLE star_match
    ADD COLUMN group_star integer CHECK (group_star >= 0),
    ADD COLUMN catalog_ra double precision,
    ADD COLUMN catalog_dec double precision,
    ADD COLUMN catalog_residual_ra_mas double precision,
    ADD COLUMN catalog_residual_dec_mas double precision,
    ADD COLUMN instrumental_magnitude double precision,
    ADD CONSTRAINT star_match_catalog_check CHECK (num_nulls(catalog_ra, catalog_dec, catalog_residual_ra_mas,
                                                             catalog_residual_dec_mas) IN (0, 4));

-- Reference catalogs from more services -------------------------------------------------------------------------------------

ALTER TABLE reference_query
    DROP CONSTRAINT reference_query_source_check,
    ADD CONSTRAINT reference_query_source_check
        CHECK (source IN ('tap', 'file', 'vizier', 'mast', 'visit', 'product'));

-- What the new columns mean -------------------------------------------------------------------------------------------------

COMMENT ON COLUMN policy.kind IS 'acceptance (of fits), products, ladder (of catalogs) or preference (among solutions)';
COMMENT ON TABLE alignment_group IS
    'Exposures fitted together; solutions of a relative group are good inside it only.';
COMMENT ON COLUMN alignment_group.visit IS 'the visit, ipppss; NULL for a tile or a list of exposures';
COMMENT ON COLUMN alignment_group.detector IS 'DETECTOR; NULL where several were fitted together';
COMMENT ON COLUMN alignment_group.scope IS 'what was asked for: visit, tile or exposures';
COMMENT ON COLUMN alignment_group.scope_name IS 'the visit, the sky cell, or the rootnames';
COMMENT ON COLUMN alignment_group.part IS
    'which group of those made from the same inputs, from 0; others did not join the first';
COMMENT ON COLUMN alignment_group.figures IS
    'of the joint solution: chi_squared, freedom, rescaling, stars, reference_epoch (Julian year), plane (degrees), frame';
COMMENT ON TABLE alignment_member IS
    'An exposure of a joint solution: what was known before, how it was corrected, how well that is known.';
COMMENT ON COLUMN alignment_member.alignment_group_id IS 'the group';
COMMENT ON COLUMN alignment_member.exposure_id IS 'the exposure';
COMMENT ON COLUMN alignment_member.solution_id IS 'the solution it got';
COMMENT ON COLUMN alignment_member.guide_star_set IS
    'exposures of the group with one number shared guide stars, and so the error of their pointing';
COMMENT ON COLUMN alignment_member.prior IS
    'standard deviations known beforehand: pointing (arcsec), roll_deg, scale, relative_pointing (arcsec; null: none), relative_roll_deg, skew, covariance; why, in words';
COMMENT ON COLUMN alignment_member.centre IS 'ra, dec about which roll and scale are, degrees ICRS, by the starting solution';
COMMENT ON COLUMN alignment_member.correction IS
    'xi, eta (arcsec, east and north), roll (radian, from east to north), scale, skew_cross, skew_plus (relative)';
COMMENT ON COLUMN alignment_member.covariance IS
    'of the correction, 6 x 6 row by row, without the common floor of the catalog';
COMMENT ON COLUMN alignment_member.predicted_error_mas IS
    'rms over the chips of the two-dimensional error of position, the common floor included, mas';
COMMENT ON COLUMN alignment_member.common_floor_mas IS
    'error per coordinate common to all stars of the catalog at the epoch of the exposure, mas; 0 without catalog';
COMMENT ON COLUMN alignment_member.run_id IS 'the run that made this row';
COMMENT ON COLUMN alignment_attempt.method IS
    'joint (all exposures and the catalog at once), relative (to the other exposures) or absolute (to a catalog)';
COMMENT ON COLUMN alignment_attempt.ladder_policy_id IS 'the ladder this was a step of; NULL where none was climbed';
COMMENT ON COLUMN alignment_attempt.ladder_step IS 'which step of the ladder, from 1';
COMMENT ON COLUMN alignment_attempt.inputs_sha256 IS
    'SHA-256 of all that went in: a later run with the same inputs repeats the answer; NULL before version 2';
COMMENT ON COLUMN wcs_active.frame IS
    'what its positions are good against while other members of its group are not in force; NULL: the frame of the solution';
COMMENT ON COLUMN star_match.group_star IS
    'number of the star in the joint solution, from 0: one number in all exposures of the group; NULL before version 2';
COMMENT ON COLUMN star_match.reference_ra IS
    'reference at the epoch of the exposure, degrees: the star of the joint solution, or the catalog for an absolute fit';
COMMENT ON COLUMN star_match.reference_dec IS 'reference at the epoch of the exposure, degrees';
COMMENT ON COLUMN star_match.residual_ra_mas IS 'measured minus reference, x cos(dec), mas';
COMMENT ON COLUMN star_match.residual_dec_mas IS 'measured minus reference, mas';
COMMENT ON COLUMN star_match.catalog_ra IS 'catalog position at the epoch of the exposure, degrees; NULL for a star of no catalog';
COMMENT ON COLUMN star_match.catalog_dec IS 'catalog position at the epoch of the exposure, degrees';
COMMENT ON COLUMN star_match.catalog_residual_ra_mas IS 'measured minus catalog, x cos(dec), mas';
COMMENT ON COLUMN star_match.catalog_residual_dec_mas IS 'measured minus catalog, mas';
COMMENT ON COLUMN star_match.instrumental_magnitude IS '-2.5 log10 of the counts per second in this exposure';
COMMENT ON COLUMN reference_query.release IS 'such as gaiadr3, gsc242, 2mass, ps1, or the name of a list of your own';
COMMENT ON COLUMN reference_query.source IS 'tap, vizier, mast, file, visit or product';
COMMENT ON COLUMN reference_query.service IS 'URL of the service, name of the file, or the visit or product';
COMMENT ON COLUMN reference_source.phot_g_mean_mag IS 'G magnitude; of other catalogs the magnitude its columns were asked for';
