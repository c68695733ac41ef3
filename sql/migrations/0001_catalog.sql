-- The catalog, first form. Facts are append-only (triggers at the end); what is in force lives in small tables with a
-- time range and an exclusion constraint. Every table and column is described by pg_temp.describe at the end.

-- Provenance ----------------------------------------------------------------------------------------------------------

CREATE TABLE run (
    run_id            bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    command           text NOT NULL CHECK (command <> ''),
    arguments         text[] NOT NULL DEFAULT '{}',
    parameters        jsonb NOT NULL,
    parameters_sha256 text NOT NULL CHECK (parameters_sha256 ~ '^[0-9a-f]{64}$'),
    hapctl_version    text NOT NULL,
    software          jsonb NOT NULL,
    host              text NOT NULL,
    cpu               text NOT NULL,
    operator          text NOT NULL,
    pid               integer NOT NULL,
    backend_pid       integer NOT NULL,
    backend_start     timestamptz NOT NULL,
    started           timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX run_command_started ON run (command, started);

CREATE TABLE run_end (
    run_id            bigint PRIMARY KEY REFERENCES run,
    ended             timestamptz NOT NULL DEFAULT clock_timestamp(),
    outcome           text NOT NULL CHECK (outcome IN ('done', 'refused', 'failed', 'interrupted')),
    exit_code         smallint NOT NULL CHECK (exit_code BETWEEN 0 AND 255),
    message           text NOT NULL DEFAULT '',
    peak_memory_bytes bigint NOT NULL CHECK (peak_memory_bytes >= 0),
    summary           jsonb NOT NULL DEFAULT '{}',
    CHECK ((outcome = 'done') = (exit_code = 0))
);

CREATE TABLE policy (
    policy_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind      text NOT NULL CHECK (kind IN ('acceptance', 'products')),
    name      text NOT NULL CHECK (name <> ''),
    version   integer NOT NULL CHECK (version > 0),
    content   jsonb NOT NULL,
    run_id    bigint NOT NULL REFERENCES run,
    UNIQUE (kind, name, version)
);

CREATE TABLE policy_active (
    policy_active_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind             text NOT NULL CHECK (kind IN ('acceptance', 'products')),
    policy_id        bigint NOT NULL REFERENCES policy,
    during           tstzrange NOT NULL DEFAULT tstzrange(clock_timestamp(), NULL) CHECK (NOT isempty(during)),
    run_id           bigint NOT NULL REFERENCES run,
    closed_run_id    bigint REFERENCES run,
    CHECK (upper_inf(during) = (closed_run_id IS NULL)),
    EXCLUDE USING gist (
        (CASE kind WHEN 'acceptance' THEN int4range(1, 1, '[]') ELSE int4range(2, 2, '[]') END) WITH &&,
        during WITH &&
    )
);

-- What was observed, and where the files are ---------------------------------------------------------------------------

CREATE TABLE proposal (
    proposal_id integer PRIMARY KEY CHECK (proposal_id > 0),
    run_id      bigint NOT NULL REFERENCES run
);

CREATE TABLE visit (
    visit       text PRIMARY KEY CHECK (visit ~ '^[a-z0-9]{6}$'),
    proposal_id integer REFERENCES proposal,
    instrument  text NOT NULL CHECK (instrument IN ('ACS', 'WFC3', 'WFPC2', 'STIS')),
    run_id      bigint NOT NULL REFERENCES run
);

CREATE TABLE exposure (
    exposure_id       bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    rootname          text NOT NULL UNIQUE CHECK (rootname ~ '^[a-z0-9]{9}$'),
    visit             text NOT NULL REFERENCES visit,
    proposal_id       integer REFERENCES proposal,
    instrument        text NOT NULL CHECK (instrument IN ('ACS', 'WFC3', 'WFPC2', 'STIS')),
    detector          text NOT NULL CHECK (detector <> ''),
    filter            text NOT NULL CHECK (filter <> '' AND filter = lower(filter)),
    filter_elements   text[] NOT NULL DEFAULT '{}',
    aperture          text,
    target_name       text,
    obstype           text,
    image_type        text,
    fgs_lock          text,
    scan_type         text,
    moving_target     boolean NOT NULL DEFAULT false,
    exposure_time     double precision CHECK (exposure_time >= 0 AND exposure_time < 'Infinity'),
    t_start           timestamptz,
    t_mid             timestamptz,
    t_end             timestamptz,
    mjd_start         double precision,
    mjd_end           double precision,
    ra_target         double precision CHECK (ra_target >= 0 AND ra_target < 360),
    dec_target        double precision CHECK (dec_target BETWEEN -90 AND 90),
    pa_v3             double precision,
    exclusion_code    text,
    exclusion_reason  text,
    run_id            bigint NOT NULL REFERENCES run,
    updated_run_id    bigint NOT NULL REFERENCES run,
    CHECK (left(rootname, 6) = visit),
    CHECK (t_start <= t_mid AND t_mid <= t_end),
    CHECK ((exclusion_code IS NULL) = (exclusion_reason IS NULL))
);
CREATE INDEX exposure_visit ON exposure (visit);
CREATE INDEX exposure_layer ON exposure (instrument, detector, filter);
CREATE INDEX exposure_proposal ON exposure (proposal_id);

CREATE TABLE exposure_withdrawal (
    withdrawal_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    exposure_id   bigint NOT NULL REFERENCES exposure,
    reason        text NOT NULL CHECK (reason <> ''),
    during        tstzrange NOT NULL DEFAULT tstzrange(clock_timestamp(), NULL) CHECK (NOT isempty(during)),
    run_id        bigint NOT NULL REFERENCES run,
    closed_run_id bigint REFERENCES run,
    CHECK (upper_inf(during) = (closed_run_id IS NULL)),
    EXCLUDE USING gist (int8range(exposure_id, exposure_id, '[]') WITH &&, during WITH &&)
);
CREATE INDEX exposure_withdrawal_now ON exposure_withdrawal (exposure_id) WHERE upper_inf(during);

CREATE TABLE exposure_file (
    file_id        bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    exposure_id    bigint NOT NULL REFERENCES exposure,
    suffix         text NOT NULL CHECK (suffix ~ '^[a-z0-9]{3}$'),
    sha256         text NOT NULL CHECK (sha256 ~ '^[0-9a-f]{64}$'),
    size_bytes     bigint NOT NULL CHECK (size_bytes > 0),
    fits_date      timestamp,
    headerlets     integer NOT NULL DEFAULT 0 CHECK (headerlets >= 0),
    primary_header jsonb NOT NULL,
    run_id         bigint NOT NULL REFERENCES run,
    UNIQUE (exposure_id, suffix, sha256),
    UNIQUE (exposure_id, file_id)
);
CREATE INDEX exposure_file_sha256 ON exposure_file (sha256);

CREATE TABLE exposure_file_current (
    exposure_file_current_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    exposure_id   bigint NOT NULL,
    suffix        text NOT NULL,
    file_id       bigint NOT NULL,
    during        tstzrange NOT NULL DEFAULT tstzrange(clock_timestamp(), NULL) CHECK (NOT isempty(during)),
    run_id        bigint NOT NULL REFERENCES run,
    closed_run_id bigint REFERENCES run,
    FOREIGN KEY (exposure_id, file_id) REFERENCES exposure_file (exposure_id, file_id),
    CHECK (upper_inf(during) = (closed_run_id IS NULL))
);
CREATE UNIQUE INDEX exposure_file_current_one
    ON exposure_file_current (exposure_id, suffix) WHERE upper_inf(during);

CREATE TABLE archive_root (
    root_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    run_id  bigint NOT NULL REFERENCES run
);

CREATE TABLE archive_root_path (
    archive_root_path_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    root_id       bigint NOT NULL REFERENCES archive_root,
    path          text NOT NULL CHECK (path ~ '^(/|[a-z0-9]+://)'),
    during        tstzrange NOT NULL DEFAULT tstzrange(clock_timestamp(), NULL) CHECK (NOT isempty(during)),
    run_id        bigint NOT NULL REFERENCES run,
    closed_run_id bigint REFERENCES run,
    CHECK (upper_inf(during) = (closed_run_id IS NULL)),
    EXCLUDE USING gist (int8range(root_id, root_id, '[]') WITH &&, during WITH &&)
);
CREATE UNIQUE INDEX archive_root_path_one ON archive_root_path (path) WHERE upper_inf(during);

CREATE TABLE file_location (
    location_id   bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    file_id       bigint NOT NULL REFERENCES exposure_file,
    root_id       bigint NOT NULL REFERENCES archive_root,
    path          text NOT NULL CHECK (path <> '' AND path !~ '(^/|(^|/)\.\.(/|$))'),
    size_bytes    bigint NOT NULL CHECK (size_bytes > 0),
    mtime_ns      bigint NOT NULL,
    during        tstzrange NOT NULL DEFAULT tstzrange(clock_timestamp(), NULL) CHECK (NOT isempty(during)),
    run_id        bigint NOT NULL REFERENCES run,
    closed_run_id bigint REFERENCES run,
    CHECK (upper_inf(during) = (closed_run_id IS NULL))
);
CREATE UNIQUE INDEX file_location_one ON file_location (root_id, path) WHERE upper_inf(during);
CREATE INDEX file_location_file ON file_location (file_id);

CREATE TABLE chip (
    file_id       bigint NOT NULL REFERENCES exposure_file,
    extver        integer NOT NULL CHECK (extver > 0),
    chip          integer NOT NULL CHECK (chip > 0),
    nx            integer NOT NULL CHECK (nx > 0),
    ny            integer NOT NULL CHECK (ny > 0),
    unit          text,
    photflam      double precision,
    photplam      double precision,
    photmode      text,
    PRIMARY KEY (file_id, extver)
);

-- WCS solutions --------------------------------------------------------------------------------------------------------

CREATE TABLE lookup_table (
    sha256 text PRIMARY KEY CHECK (sha256 ~ '^[0-9a-f]{64}$'),
    nx     integer NOT NULL CHECK (nx > 0),
    ny     integer NOT NULL CHECK (ny > 0),
    crpix1 double precision NOT NULL,
    crpix2 double precision NOT NULL,
    crval1 double precision NOT NULL,
    crval2 double precision NOT NULL,
    cdelt1 double precision NOT NULL,
    cdelt2 double precision NOT NULL,
    nodes  bytea NOT NULL,
    run_id bigint NOT NULL REFERENCES run,
    CHECK (length(nodes) = 4 * nx * ny)
);

CREATE TABLE distortion_model (
    distortion_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    sha256        text NOT NULL UNIQUE CHECK (sha256 ~ '^[0-9a-f]{64}$'),
    sip_order     integer NOT NULL CHECK (sip_order BETWEEN 0 AND 9),
    sip_a         double precision[] NOT NULL,
    sip_b         double precision[] NOT NULL,
    npol_x        text REFERENCES lookup_table,
    npol_y        text REFERENCES lookup_table,
    d2im_x        text REFERENCES lookup_table,
    d2im_y        text REFERENCES lookup_table,
    idcscale      double precision CHECK (idcscale > 0 AND idcscale < 'Infinity'),
    run_id        bigint NOT NULL REFERENCES run,
    CHECK (cardinality(sip_a) IN (0, (sip_order + 1) * (sip_order + 1))),
    CHECK (cardinality(sip_a) = cardinality(sip_b)),
    CHECK ((sip_order = 0) = (cardinality(sip_a) = 0))
);

CREATE TABLE alignment_group (
    alignment_group_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    visit              text NOT NULL REFERENCES visit,
    detector           text NOT NULL,
    kind               text NOT NULL CHECK (kind IN ('absolute', 'relative')),
    catalog            text,
    inputs_sha256      text NOT NULL CHECK (inputs_sha256 ~ '^[0-9a-f]{64}$'),
    policy_id          bigint NOT NULL REFERENCES policy,
    run_id             bigint NOT NULL REFERENCES run,
    CHECK ((kind = 'absolute') = (catalog IS NOT NULL)),
    UNIQUE (visit, detector, inputs_sha256)
);

CREATE TABLE wcs_solution (
    solution_id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    exposure_id           bigint NOT NULL REFERENCES exposure,
    wcsname               text NOT NULL CHECK (wcsname <> ''),
    transformation_sha256 text NOT NULL CHECK (transformation_sha256 ~ '^[0-9a-f]{64}$'),
    kind                  text NOT NULL CHECK (kind IN ('opus', 'idc', 'a_priori', 'fit', 'user')),
    base                  text,
    idc_root              text,
    mode                  text CHECK (mode IN ('REL', 'IMG', 'EVM', 'SVM', 'MVM')),
    catalog               text,
    suffix                text NOT NULL DEFAULT '',
    frame                 text NOT NULL CHECK (frame <> ''),
    alignment_group_id    bigint REFERENCES alignment_group,
    nmatches              integer CHECK (nmatches >= 0),
    rms_ra_mas            double precision CHECK (rms_ra_mas >= 0 AND rms_ra_mas < 'Infinity'),
    rms_dec_mas           double precision CHECK (rms_dec_mas >= 0 AND rms_dec_mas < 'Infinity'),
    fit_geometry          text,
    keywords              jsonb NOT NULL DEFAULT '{}',
    problem               text CHECK (problem <> ''),
    footprint             int8multirange NOT NULL,
    s_region              text NOT NULL,
    headerlet             bytea,
    headerlet_sha256      text CHECK (headerlet_sha256 ~ '^[0-9a-f]{64}$'),
    run_id                bigint NOT NULL REFERENCES run,
    UNIQUE (exposure_id, wcsname, transformation_sha256),
    UNIQUE (exposure_id, solution_id),
    CHECK ((kind = 'fit') = (mode IS NOT NULL)),
    CHECK ((kind IN ('fit', 'a_priori')) = (catalog IS NOT NULL)),
    CHECK ((kind = 'user') = (base IS NULL)),
    CHECK ((headerlet IS NULL) = (headerlet_sha256 IS NULL)),
    CHECK (kind <> 'opus' OR base = 'OPUS'),
    CHECK (idc_root IS NULL OR base = 'IDC_' || idc_root),
    CHECK (wcsname = CASE kind
                         WHEN 'opus' THEN base || suffix
                         WHEN 'idc' THEN base || suffix
                         WHEN 'a_priori' THEN base || '-' || catalog || suffix
                         WHEN 'fit' THEN base || '-FIT_' || mode || '_' || catalog || suffix
                         ELSE wcsname
                     END)
);
CREATE INDEX wcs_solution_footprint ON wcs_solution USING gist (footprint);
CREATE INDEX wcs_solution_group ON wcs_solution (alignment_group_id);

CREATE TABLE wcs_chip (
    solution_id   bigint NOT NULL REFERENCES wcs_solution,
    extver        integer NOT NULL CHECK (extver > 0),
    chip          integer NOT NULL CHECK (chip > 0),
    nx            integer NOT NULL CHECK (nx > 0),
    ny            integer NOT NULL CHECK (ny > 0),
    crpix1        double precision NOT NULL,
    crpix2        double precision NOT NULL,
    crval1        double precision NOT NULL,
    crval2        double precision NOT NULL,
    cd1_1         double precision NOT NULL,
    cd1_2         double precision NOT NULL,
    cd2_1         double precision NOT NULL,
    cd2_2         double precision NOT NULL,
    ctype1        text NOT NULL,
    ctype2        text NOT NULL,
    distortion_id bigint NOT NULL REFERENCES distortion_model,
    polygon       double precision[] NOT NULL CHECK (cardinality(polygon) >= 6 AND cardinality(polygon) % 2 = 0),
    PRIMARY KEY (solution_id, extver)
);

CREATE TABLE wcs_location (
    wcs_location_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    solution_id     bigint NOT NULL REFERENCES wcs_solution,
    file_id         bigint REFERENCES exposure_file,
    place           text NOT NULL CHECK (place IN ('primary', 'alternate', 'hdrlet', 'headerlet')),
    key             text NOT NULL DEFAULT '',
    run_id          bigint NOT NULL REFERENCES run,
    CHECK ((place = 'headerlet') = (file_id IS NULL)),
    UNIQUE NULLS NOT DISTINCT (solution_id, file_id, place, key)
);
CREATE INDEX wcs_location_file ON wcs_location (file_id);

CREATE TABLE wcs_active (
    wcs_active_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    exposure_id   bigint NOT NULL,
    solution_id   bigint NOT NULL,
    during        tstzrange NOT NULL CHECK (NOT isempty(during)),
    origin        text NOT NULL CHECK (origin IN ('ingest', 'align', 'manual')),
    reason        text NOT NULL CHECK (reason <> ''),
    run_id        bigint NOT NULL REFERENCES run,
    closed_run_id bigint REFERENCES run,
    FOREIGN KEY (exposure_id, solution_id) REFERENCES wcs_solution (exposure_id, solution_id),
    CHECK (upper_inf(during) = (closed_run_id IS NULL)),
    EXCLUDE USING gist (int8range(exposure_id, exposure_id, '[]') WITH &&, during WITH &&)
);
CREATE UNIQUE INDEX wcs_active_now ON wcs_active (exposure_id) WHERE upper_inf(during);

-- The sky --------------------------------------------------------------------------------------------------------------

CREATE TABLE projection_cell (
    projection_cell integer PRIMARY KEY CHECK (projection_cell BETWEEN 0 AND 2643),
    ra              double precision NOT NULL CHECK (ra >= 0 AND ra < 360),
    dec             double precision NOT NULL CHECK (dec BETWEEN -90 AND 90)
);

CREATE TABLE sky_cell (
    sky_cell_id     integer PRIMARY KEY,
    name            text NOT NULL UNIQUE,
    projection_cell integer NOT NULL REFERENCES projection_cell,
    x               smallint NOT NULL CHECK (x BETWEEN 1 AND 21),
    y               smallint NOT NULL CHECK (y BETWEEN 1 AND 21),
    CHECK (sky_cell_id = projection_cell * 441 + (y - 1) * 21 + (x - 1)),
    CHECK (name = 'skycell-p' || lpad(projection_cell::text, 4, '0')
                  || 'x' || lpad(x::text, 2, '0') || 'y' || lpad(y::text, 2, '0'))
);

CREATE TABLE solution_sky_cell (
    solution_id bigint NOT NULL REFERENCES wcs_solution,
    sky_cell_id integer NOT NULL REFERENCES sky_cell,
    fraction    double precision NOT NULL CHECK (fraction > 0 AND fraction <= 1.000001),
    PRIMARY KEY (solution_id, sky_cell_id)
);
CREATE INDEX solution_sky_cell_cell ON solution_sky_cell (sky_cell_id, solution_id);

-- Reference catalogs ----------------------------------------------------------------------------------------------------

CREATE TABLE reference_query (
    reference_query_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    release            text NOT NULL CHECK (release <> ''),
    source             text NOT NULL CHECK (source IN ('tap', 'file')),
    service            text NOT NULL,
    question           text NOT NULL,
    region             text NOT NULL,
    coverage           int8multirange NOT NULL,
    n_rows             integer NOT NULL CHECK (n_rows >= 0),
    answer_sha256      text NOT NULL CHECK (answer_sha256 ~ '^[0-9a-f]{64}$'),
    fetched            timestamptz NOT NULL DEFAULT clock_timestamp(),
    run_id             bigint NOT NULL REFERENCES run
);
CREATE INDEX reference_query_coverage ON reference_query USING gist (coverage);

CREATE TABLE reference_source (
    reference_query_id bigint NOT NULL REFERENCES reference_query,
    source_id          text NOT NULL,
    healpix            bigint NOT NULL CHECK (healpix >= 0),
    ra                 double precision NOT NULL CHECK (ra >= 0 AND ra < 360),
    dec                double precision NOT NULL CHECK (dec BETWEEN -90 AND 90),
    ref_epoch          double precision NOT NULL,
    ra_error           double precision CHECK (ra_error >= 0 AND ra_error < 'Infinity'),
    dec_error          double precision CHECK (dec_error >= 0 AND dec_error < 'Infinity'),
    parallax           double precision,
    parallax_error     double precision CHECK (parallax_error >= 0 AND parallax_error < 'Infinity'),
    pmra               double precision,
    pmra_error         double precision CHECK (pmra_error >= 0 AND pmra_error < 'Infinity'),
    pmdec              double precision,
    pmdec_error        double precision CHECK (pmdec_error >= 0 AND pmdec_error < 'Infinity'),
    correlations       real[] CHECK (cardinality(correlations) = 10),
    phot_g_mean_mag    double precision,
    bp_rp              double precision,
    ruwe               double precision,
    params_solved      smallint,
    duplicated_source  boolean,
    PRIMARY KEY (reference_query_id, source_id),
    CHECK ((pmra IS NULL) = (pmdec IS NULL))
);
CREATE INDEX reference_source_healpix ON reference_source (healpix);

-- Alignment --------------------------------------------------------------------------------------------------------------

CREATE TABLE alignment_attempt (
    attempt_id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    run_id             bigint NOT NULL REFERENCES run,
    visit              text NOT NULL REFERENCES visit,
    exposure_id        bigint NOT NULL REFERENCES exposure,
    alignment_group_id bigint REFERENCES alignment_group,
    method             text NOT NULL CHECK (method IN ('relative', 'absolute')),
    catalog            text,
    geometry           text NOT NULL CHECK (geometry IN ('shift', 'rshift', 'rscale', 'general', 'none')),
    outcome            text NOT NULL CHECK (outcome IN ('accepted', 'refused', 'unchanged')),
    code               text NOT NULL CHECK (code <> ''),
    reason             text NOT NULL CHECK (reason <> ''),
    policy_id          bigint NOT NULL REFERENCES policy,
    epoch              timestamptz,
    n_detected         integer NOT NULL CHECK (n_detected >= 0),
    n_reference        integer NOT NULL CHECK (n_reference >= 0),
    nmatches           integer NOT NULL CHECK (nmatches >= 0),
    rms_ra_mas         double precision,
    rms_dec_mas        double precision,
    shift_ra_mas       double precision,
    shift_dec_mas      double precision,
    rotation_deg       double precision,
    scale_ratio        double precision,
    score              double precision,
    best_decoy_score   double precision,
    covered_fraction   double precision CHECK (covered_fraction BETWEEN 0 AND 1),
    from_solution_id   bigint NOT NULL,
    solution_id        bigint,
    metrics            jsonb NOT NULL DEFAULT '{}',
    FOREIGN KEY (exposure_id, from_solution_id) REFERENCES wcs_solution (exposure_id, solution_id),
    FOREIGN KEY (exposure_id, solution_id) REFERENCES wcs_solution (exposure_id, solution_id),
    CHECK ((method = 'absolute') = (catalog IS NOT NULL)),
    CHECK ((outcome = 'refused') = (solution_id IS NULL))
);
CREATE INDEX alignment_attempt_visit ON alignment_attempt (visit, run_id);
CREATE INDEX alignment_attempt_exposure ON alignment_attempt (exposure_id);
CREATE INDEX alignment_attempt_solution ON alignment_attempt (solution_id);

CREATE TABLE attempt_reference_query (
    attempt_id         bigint NOT NULL REFERENCES alignment_attempt,
    reference_query_id bigint NOT NULL REFERENCES reference_query,
    PRIMARY KEY (attempt_id, reference_query_id)
);

CREATE TABLE star_match (
    attempt_id         bigint NOT NULL REFERENCES alignment_attempt,
    star               integer NOT NULL CHECK (star > 0),
    extver             integer NOT NULL CHECK (extver > 0),
    x                  double precision NOT NULL,
    y                  double precision NOT NULL,
    ra                 double precision NOT NULL,
    dec                double precision NOT NULL,
    source_id          text,
    reference_ra       double precision NOT NULL,
    reference_dec      double precision NOT NULL,
    residual_ra_mas    double precision NOT NULL,
    residual_dec_mas   double precision NOT NULL,
    error_mas          double precision NOT NULL CHECK (error_mas >= 0 AND error_mas < 'Infinity'),
    weight             double precision NOT NULL CHECK (weight >= 0 AND weight < 'Infinity'),
    used               boolean NOT NULL,
    magnitude          double precision,
    snr                double precision,
    PRIMARY KEY (attempt_id, star)
);
CREATE INDEX star_match_source ON star_match (source_id);

-- Masks and products -----------------------------------------------------------------------------------------------------

CREATE TABLE exposure_mask (
    mask_id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    exposure_id       bigint NOT NULL,
    file_id           bigint NOT NULL,
    solution_id       bigint NOT NULL,
    inputs_sha256     text NOT NULL CHECK (inputs_sha256 ~ '^[0-9a-f]{64}$'),
    parameters        jsonb NOT NULL,
    parameters_sha256 text NOT NULL CHECK (parameters_sha256 ~ '^[0-9a-f]{64}$'),
    path              text NOT NULL CHECK (path <> ''),
    sha256            text NOT NULL CHECK (sha256 ~ '^[0-9a-f]{64}$'),
    size_bytes        bigint NOT NULL CHECK (size_bytes > 0),
    n_flagged         bigint NOT NULL CHECK (n_flagged >= 0),
    run_id            bigint NOT NULL REFERENCES run,
    FOREIGN KEY (exposure_id, file_id) REFERENCES exposure_file (exposure_id, file_id),
    FOREIGN KEY (exposure_id, solution_id) REFERENCES wcs_solution (exposure_id, solution_id),
    UNIQUE (exposure_id, mask_id)
);
CREATE INDEX exposure_mask_inputs ON exposure_mask (exposure_id, inputs_sha256, parameters_sha256);

CREATE TABLE exposure_mask_current (
    exposure_mask_current_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    exposure_id   bigint NOT NULL,
    mask_id       bigint NOT NULL,
    during        tstzrange NOT NULL DEFAULT tstzrange(clock_timestamp(), NULL) CHECK (NOT isempty(during)),
    run_id        bigint NOT NULL REFERENCES run,
    closed_run_id bigint REFERENCES run,
    FOREIGN KEY (exposure_id, mask_id) REFERENCES exposure_mask (exposure_id, mask_id),
    CHECK (upper_inf(during) = (closed_run_id IS NULL)),
    EXCLUDE USING gist (int8range(exposure_id, exposure_id, '[]') WITH &&, during WITH &&)
);
CREATE INDEX exposure_mask_current_now ON exposure_mask_current (exposure_id) WHERE upper_inf(during);

CREATE TABLE product_key (
    product_key_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    folder         text NOT NULL CHECK (folder <> ''),
    name           text NOT NULL CHECK (name <> '' AND name !~ '/'),
    run_id         bigint NOT NULL REFERENCES run,
    UNIQUE (folder, name)
);

CREATE TABLE product (
    product_id        bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    product_key_id    bigint NOT NULL REFERENCES product_key,
    kind              text NOT NULL CHECK (kind IN ('exposure', 'filter', 'total', 'layer')),
    name              text NOT NULL CHECK (name <> ''),
    visit             text REFERENCES visit,
    sky_cell_id       integer REFERENCES sky_cell,
    instrument        text NOT NULL,
    detector          text NOT NULL,
    filter            text NOT NULL,
    pixel_scale       double precision NOT NULL CHECK (pixel_scale > 0 AND pixel_scale < 'Infinity'),
    nx                integer NOT NULL CHECK (nx > 0),
    ny                integer NOT NULL CHECK (ny > 0),
    grid              jsonb NOT NULL,
    s_region          text NOT NULL,
    wcs_policy        text NOT NULL CHECK (wcs_policy IN ('strict', 'absolute', 'any')),
    inputs_sha256     text NOT NULL CHECK (inputs_sha256 ~ '^[0-9a-f]{64}$'),
    parameters        jsonb NOT NULL,
    parameters_sha256 text NOT NULL CHECK (parameters_sha256 ~ '^[0-9a-f]{64}$'),
    policy_id         bigint NOT NULL REFERENCES policy,
    pixels_sha256     text NOT NULL CHECK (pixels_sha256 ~ '^[0-9a-f]{64}$'),
    run_id            bigint NOT NULL REFERENCES run,
    CHECK ((kind = 'layer') = (sky_cell_id IS NOT NULL)),
    CHECK ((kind = 'layer') = (visit IS NULL)),
    UNIQUE (product_key_id, product_id)
);
CREATE INDEX product_visit ON product (visit);
CREATE INDEX product_sky_cell ON product (sky_cell_id);

CREATE TABLE product_input (
    product_id    bigint NOT NULL REFERENCES product,
    exposure_id   bigint NOT NULL,
    file_id       bigint NOT NULL,
    solution_id   bigint NOT NULL,
    mask_id       bigint,
    sky           double precision[] NOT NULL DEFAULT '{}',
    PRIMARY KEY (product_id, exposure_id),
    FOREIGN KEY (exposure_id, file_id) REFERENCES exposure_file (exposure_id, file_id),
    FOREIGN KEY (exposure_id, solution_id) REFERENCES wcs_solution (exposure_id, solution_id),
    FOREIGN KEY (exposure_id, mask_id) REFERENCES exposure_mask (exposure_id, mask_id)
);
CREATE INDEX product_input_exposure ON product_input (exposure_id, solution_id);

CREATE TABLE product_exclusion (
    product_id  bigint NOT NULL REFERENCES product,
    exposure_id bigint NOT NULL REFERENCES exposure,
    solution_id bigint,
    code        text NOT NULL CHECK (code <> ''),
    reason      text NOT NULL CHECK (reason <> ''),
    PRIMARY KEY (product_id, exposure_id),
    FOREIGN KEY (exposure_id, solution_id) REFERENCES wcs_solution (exposure_id, solution_id)
);
CREATE INDEX product_exclusion_exposure ON product_exclusion (exposure_id);

CREATE TABLE product_file (
    product_file_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    product_id      bigint NOT NULL REFERENCES product,
    kind            text NOT NULL CHECK (kind IN ('fits', 'preview')),
    path            text NOT NULL CHECK (path <> ''),
    sha256          text NOT NULL CHECK (sha256 ~ '^[0-9a-f]{64}$'),
    size_bytes      bigint NOT NULL CHECK (size_bytes > 0),
    UNIQUE (product_id, kind)
);

CREATE TABLE product_file_check (
    product_file_check_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    product_file_id bigint NOT NULL REFERENCES product_file,
    state           text NOT NULL CHECK (state IN ('ok', 'missing', 'damaged')),
    checked         timestamptz NOT NULL DEFAULT clock_timestamp(),
    run_id          bigint NOT NULL REFERENCES run
);
CREATE INDEX product_file_check_file ON product_file_check (product_file_id, product_file_check_id);

CREATE TABLE product_pending (
    product_id bigint PRIMARY KEY REFERENCES product,
    moves      jsonb NOT NULL,
    run_id     bigint NOT NULL REFERENCES run
);

CREATE TABLE product_current (
    product_current_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    product_key_id bigint NOT NULL,
    product_id     bigint NOT NULL,
    during         tstzrange NOT NULL DEFAULT tstzrange(clock_timestamp(), NULL) CHECK (NOT isempty(during)),
    run_id         bigint NOT NULL REFERENCES run,
    closed_run_id  bigint REFERENCES run,
    FOREIGN KEY (product_key_id, product_id) REFERENCES product (product_key_id, product_id),
    CHECK (upper_inf(during) = (closed_run_id IS NULL)),
    EXCLUDE USING gist (int8range(product_key_id, product_key_id, '[]') WITH &&, during WITH &&)
);
CREATE INDEX product_current_now ON product_current (product_key_id) WHERE upper_inf(during);
CREATE INDEX product_current_product ON product_current (product_id);

-- Rules that rows alone cannot express -------------------------------------------------------------------------------------

CREATE FUNCTION forbid_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'table % is append-only: % is not allowed', TG_TABLE_NAME, TG_OP
        USING ERRCODE = 'restrict_violation';
END $$;

CREATE FUNCTION allow_closing_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'UPDATE'
       AND upper_inf(OLD.during) AND NOT upper_inf(NEW.during)
       AND lower(OLD.during) = lower(NEW.during)
       AND to_jsonb(OLD) - 'during' - 'closed_run_id' = to_jsonb(NEW) - 'during' - 'closed_run_id' THEN
        RETURN NEW;
    END IF;
    RAISE EXCEPTION 'table % keeps history: a row may only be closed, not changed by %', TG_TABLE_NAME, TG_OP
        USING ERRCODE = 'restrict_violation';
END $$;

CREATE FUNCTION forbid_activating_a_problem() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    why text;
BEGIN
    SELECT problem INTO why FROM wcs_solution WHERE solution_id = NEW.solution_id;
    IF why IS NOT NULL THEN
        RAISE EXCEPTION 'solution % cannot be put in force: %', NEW.solution_id, why
            USING ERRCODE = 'restrict_violation';
    END IF;
    RETURN NEW;
END $$;

CREATE TRIGGER consistent_only BEFORE INSERT ON wcs_active
    FOR EACH ROW EXECUTE FUNCTION forbid_activating_a_problem();

DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY[
        'run', 'run_end', 'policy', 'proposal', 'visit', 'exposure_file', 'archive_root', 'chip', 'lookup_table',
        'distortion_model', 'alignment_group', 'wcs_solution', 'wcs_chip', 'wcs_location', 'projection_cell', 'sky_cell',
        'solution_sky_cell', 'reference_query', 'reference_source', 'alignment_attempt', 'attempt_reference_query',
        'star_match', 'exposure_mask', 'product_key', 'product', 'product_input', 'product_exclusion', 'product_file',
        'product_file_check'
    ] LOOP
        EXECUTE format('CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON %I
                        FOR EACH ROW EXECUTE FUNCTION forbid_change()', name);
        EXECUTE format('CREATE TRIGGER append_only_truncate BEFORE TRUNCATE ON %I
                        FOR EACH STATEMENT EXECUTE FUNCTION forbid_change()', name);
    END LOOP;
    -- The keywords of an exposure follow its current file; the exposure itself stays.
    CREATE TRIGGER kept BEFORE DELETE ON exposure FOR EACH ROW EXECUTE FUNCTION forbid_change();
    FOREACH name IN ARRAY ARRAY[
        'policy_active', 'exposure_withdrawal', 'exposure_file_current', 'archive_root_path', 'file_location',
        'wcs_active', 'exposure_mask_current', 'product_current'
    ] LOOP
        EXECUTE format('CREATE TRIGGER closing_only BEFORE UPDATE OR DELETE ON %I
                        FOR EACH ROW EXECUTE FUNCTION allow_closing_only()', name);
        EXECUTE format('CREATE TRIGGER closing_only_truncate BEFORE TRUNCATE ON %I
                        FOR EACH STATEMENT EXECUTE FUNCTION forbid_change()', name);
    END LOOP;
END $$;

CREATE FUNCTION run_is_alive(backend integer, since timestamptz) RETURNS boolean
    LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog AS $$
    SELECT EXISTS (SELECT FROM pg_stat_activity WHERE pid = backend AND backend_start = since)
$$;

-- What every table and column means ----------------------------------------------------------------------------------------

CREATE FUNCTION pg_temp.describe(tbl text, about text, columns jsonb) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    col text;
    words text;
BEGIN
    EXECUTE format('COMMENT ON TABLE %I IS %L', tbl, about);
    FOR col, words IN SELECT * FROM jsonb_each_text(columns) LOOP
        EXECUTE format('COMMENT ON COLUMN %I.%I IS %L', tbl, col, words);
    END LOOP;
    FOR col, words IN
        SELECT a.attname, CASE a.attname
                   WHEN 'run_id' THEN 'the run that made this row'
                   WHEN 'closed_run_id' THEN 'the run that ended it; NULL while it is in force'
                   WHEN 'during' THEN 'when this was in force, UTC; open-ended while it is'
                   WHEN 'exposure_id' THEN 'the exposure'
                   WHEN 'solution_id' THEN 'the WCS solution'
                   WHEN 'file_id' THEN 'the content of an exposure file'
                   WHEN 'product_id' THEN 'the product'
                   WHEN 'policy_id' THEN 'the policy, with its version'
                   WHEN 'visit' THEN 'the visit, ipppss'
                   WHEN 'sha256' THEN 'SHA-256 of the content, lower-case hexadecimal'
                   WHEN 'size_bytes' THEN 'size in bytes'
                   WHEN 'nx' THEN 'columns, pixels'
                   WHEN 'ny' THEN 'rows, pixels'
                   WHEN 'extver' THEN 'EXTVER of the SCI extension'
                   WHEN 'chip' THEN 'CCDCHIP (DETECTOR for WFPC2)'
               END
        FROM pg_attribute a
        WHERE a.attrelid = format('%I', tbl)::regclass AND a.attnum > 0 AND NOT a.attisdropped
              AND col_description(a.attrelid, a.attnum) IS NULL
    LOOP
        IF words IS NULL THEN
            RAISE EXCEPTION 'column %.% has no description', tbl, col;
        END IF;
        EXECUTE format('COMMENT ON COLUMN %I.%I IS %L', tbl, col, words);
    END LOOP;
END $$;

SELECT pg_temp.describe('run', 'One recorded execution of a command; committed when it starts.', '{
    "run_id": "number of the run", "command": "what was run, such as align", "arguments": "the command line",
    "parameters": "all parameters in effect", "parameters_sha256": "SHA-256 of the parameters in canonical JSON",
    "hapctl_version": "version of hapctl", "software": "versions of interpreter, compiler, libraries, server and schema",
    "host": "host name", "cpu": "processor model", "operator": "operating system user",
    "pid": "process that ran it", "backend_pid": "database session of the run", "backend_start": "start of that session, UTC",
    "started": "start, UTC"}');
SELECT pg_temp.describe('run_end', 'How a run ended; a run without this row is running or was abandoned.', '{
    "run_id": "the run", "ended": "end, UTC", "outcome": "done, refused, failed or interrupted", "exit_code": "exit code",
    "message": "the one-line error, if any", "peak_memory_bytes": "peak memory of the process tree, bytes",
    "summary": "figures of the run"}');
SELECT pg_temp.describe('policy', 'A named, versioned rule; its content is data.', '{
    "policy_id": "number of the policy", "kind": "acceptance (of fits) or products", "name": "name of the rule",
    "version": "version, from 1", "content": "the rule itself"}');
SELECT pg_temp.describe('policy_active', 'Which policy of each kind is in force.', '{
    "policy_active_id": "number of the row", "kind": "kind of policy"}');
SELECT pg_temp.describe('proposal', 'An HST proposal.', '{"proposal_id": "PROPOSID"}');
SELECT pg_temp.describe('visit', 'An HST visit.', '{"proposal_id": "PROPOSID", "instrument": "INSTRUME"}');
SELECT pg_temp.describe('exposure', 'One HST exposure; its keywords are those of its current file.', '{
    "exposure_id": "number of the exposure", "rootname": "ipppssoot, lower case", "proposal_id": "PROPOSID",
    "instrument": "INSTRUME", "detector": "DETECTOR (WFPC2: PC)", "filter": "filter as in HAP names, lower case",
    "filter_elements": "filter keywords as in the header", "aperture": "APERTURE", "target_name": "TARGNAME",
    "obstype": "OBSTYPE", "image_type": "IMAGETYP", "fgs_lock": "FGSLOCK", "scan_type": "SCAN_TYP",
    "moving_target": "MTFLAG", "exposure_time": "EXPTIME, seconds", "t_start": "start of the exposure, UTC",
    "t_mid": "middle of the exposure, UTC", "t_end": "end of the exposure, UTC", "mjd_start": "EXPSTART, MJD (UTC)",
    "mjd_end": "EXPEND, MJD (UTC)", "ra_target": "RA_TARG, degrees", "dec_target": "DEC_TARG, degrees",
    "pa_v3": "PA_V3, degrees", "exclusion_code": "why it is not mosaicked, as a code; NULL if it may be",
    "exclusion_reason": "why it is not mosaicked, in words", "run_id": "the run that registered it",
    "updated_run_id": "the run that last updated its keywords"}');
SELECT pg_temp.describe('exposure_withdrawal', 'Exposures taken out of use by an operator.', '{
    "withdrawal_id": "number of the row", "reason": "why"}');
SELECT pg_temp.describe('exposure_file', 'A content (checksum) of a file of an exposure.', '{
    "file_id": "number of the content", "suffix": "flt, flc, c0f, c0m ...", "fits_date": "DATE of the primary header",
    "headerlets": "number of HDRLET extensions", "primary_header": "the complete primary header"}');
SELECT pg_temp.describe('exposure_file_current', 'Which content of an exposure''s file is in force, by suffix.', '{
    "exposure_file_current_id": "number of the row", "suffix": "flt, flc, c0f, c0m ..."}');
SELECT pg_temp.describe('archive_root', 'A folder under which files lie; it may move.', '{"root_id": "number of the root"}');
SELECT pg_temp.describe('archive_root_path', 'Where an archive root is and was.', '{
    "archive_root_path_id": "number of the row", "root_id": "the archive root", "path": "absolute path or URI"}');
SELECT pg_temp.describe('file_location', 'Where a file content lies and lay.', '{
    "location_id": "number of the location", "root_id": "the archive root", "path": "path relative to the root",
    "mtime_ns": "modification time, nanoseconds since 1970"}');
SELECT pg_temp.describe('chip', 'A SCI extension of a file.', '{
    "unit": "BUNIT", "photflam": "PHOTFLAM, erg/cm2/Angstrom per e/s; NULL where absent or zero",
    "photplam": "PHOTPLAM, Angstrom", "photmode": "PHOTMODE"}');
SELECT pg_temp.describe('lookup_table', 'A distortion lookup table, once per content.', '{
    "sha256": "SHA-256 of nodes and keywords", "crpix1": "CRPIX1 as in the file", "crpix2": "CRPIX2 as in the file",
    "crval1": "CRVAL1 as in the file, pixels", "crval2": "CRVAL2 as in the file, pixels",
    "cdelt1": "CDELT1 as in the file, pixels", "cdelt2": "CDELT2 as in the file, pixels",
    "nodes": "corrections in pixels, rows of big-endian float32"}');
SELECT pg_temp.describe('distortion_model', 'The distortion of a chip, once per content.', '{
    "distortion_id": "number of the model", "sha256": "SHA-256 of polynomial, tables and scale",
    "sip_order": "order of the SIP polynomial; 0 without one", "sip_a": "A_p_q, (order+1)^2 values, q fastest",
    "sip_b": "B_p_q, (order+1)^2 values, q fastest", "npol_x": "NPOL table of x", "npol_y": "NPOL table of y",
    "d2im_x": "D2IM table of x", "d2im_y": "D2IM table of y", "idcscale": "IDCSCALE, arcsec per pixel"}');
SELECT pg_temp.describe('alignment_group', 'Exposures fitted together; solutions of a relative group are good inside it only.', '{
    "alignment_group_id": "number of the group", "detector": "DETECTOR", "kind": "absolute or relative",
    "catalog": "reference catalog of an absolute fit", "inputs_sha256": "SHA-256 of all that went in"}');
SELECT pg_temp.describe('wcs_solution', 'One WCS of an exposure, all its chips.', '{
    "solution_id": "number of the solution", "wcsname": "WCSNAME as found or made",
    "transformation_sha256": "SHA-256 of the transformation of all chips", "kind": "opus, idc, a_priori, fit or user",
    "base": "part of the name before the first hyphen", "idc_root": "root of the IDCTAB in the name",
    "mode": "REL, IMG, EVM, SVM or MVM", "catalog": "reference catalog in the name", "suffix": "what follows in the name",
    "frame": "what its positions are good against: GAIA-CRF3, GAIA-DR2, GAIA-DR1, or a group",
    "alignment_group_id": "the group it was fitted in, if fitted here", "nmatches": "stars matched",
    "rms_ra_mas": "rms of the fit in RA, mas", "rms_dec_mas": "rms of the fit in Dec, mas",
    "fit_geometry": "shift, rshift, rscale or general", "keywords": "other keywords of the solution",
    "problem": "why it must never be put in force; NULL if it may be",
    "footprint": "HEALPix nested ranges of order 29, conservative", "s_region": "outline, DALI polygon, degrees ICRS",
    "headerlet": "the solution as a FITS headerlet", "headerlet_sha256": "SHA-256 of the headerlet"}');
SELECT pg_temp.describe('wcs_chip', 'The transformation of one chip of a solution.', '{
    "crpix1": "CRPIX1, pixels from 1", "crpix2": "CRPIX2, pixels from 1", "crval1": "CRVAL1, degrees",
    "crval2": "CRVAL2, degrees", "cd1_1": "CD1_1, degrees per pixel", "cd1_2": "CD1_2, degrees per pixel",
    "cd2_1": "CD2_1, degrees per pixel", "cd2_2": "CD2_2, degrees per pixel", "ctype1": "CTYPE1", "ctype2": "CTYPE2",
    "distortion_id": "the distortion of the chip",
    "polygon": "outline with distortion: ra, dec, ra, dec ..., degrees, counter-clockwise, not closed"}');
SELECT pg_temp.describe('wcs_location', 'Where a solution was found.', '{
    "wcs_location_id": "number of the row", "file_id": "the file; NULL for a headerlet made here",
    "place": "primary, alternate, hdrlet (in a file) or headerlet (a file of its own)",
    "key": "alternate key, number of the HDRLET extension, or path of the headerlet"}');
SELECT pg_temp.describe('wcs_active', 'Which solution of an exposure is in force.', '{
    "wcs_active_id": "number of the row", "origin": "ingest, align or manual", "reason": "why it was put in force"}');
SELECT pg_temp.describe('projection_cell', 'A projection cell of the HAP tessellation.', '{
    "projection_cell": "number, 0 to 2643", "ra": "tangent point, degrees", "dec": "tangent point, degrees"}');
SELECT pg_temp.describe('sky_cell', 'A sky tile (only those touched so far).', '{
    "sky_cell_id": "441 x projection cell + 21 (y - 1) + x - 1", "name": "skycell-pPPPPxXXyYY",
    "projection_cell": "its projection cell", "x": "column, 1 to 21, eastmost first", "y": "row, 1 to 21, southmost first"}');
SELECT pg_temp.describe('solution_sky_cell', 'The tiles a solution touches.', '{
    "sky_cell_id": "the tile", "fraction": "part of the footprint''s area inside the tile"}');
SELECT pg_temp.describe('reference_query', 'What was asked of a reference catalog, and what was answered.', '{
    "reference_query_id": "number of the query", "release": "such as gaiadr3", "source": "tap or file",
    "service": "URL of the service, or name of the file", "question": "the exact ADQL, or how the file was loaded",
    "region": "the region asked for", "coverage": "HEALPix nested ranges of order 29 completely covered",
    "n_rows": "rows of the answer", "answer_sha256": "SHA-256 of the answer", "fetched": "when it was answered, UTC"}');
SELECT pg_temp.describe('reference_source', 'The rows of an answer.', '{
    "reference_query_id": "the query", "source_id": "identifier in the catalog", "healpix": "HEALPix nested index, order 29",
    "ra": "degrees, ICRS, at ref_epoch", "dec": "degrees, ICRS, at ref_epoch", "ref_epoch": "Julian year",
    "ra_error": "of ra x cos(dec), mas", "dec_error": "mas", "parallax": "mas", "parallax_error": "mas",
    "pmra": "proper motion in ra x cos(dec), mas/yr", "pmra_error": "mas/yr", "pmdec": "mas/yr", "pmdec_error": "mas/yr",
    "correlations": "ra_dec, ra_parallax, ra_pmra, ra_pmdec, dec_parallax, dec_pmra, dec_pmdec, parallax_pmra, parallax_pmdec, pmra_pmdec",
    "phot_g_mean_mag": "G magnitude", "bp_rp": "BP - RP, magnitudes", "ruwe": "renormalised unit weight error",
    "params_solved": "astrometric_params_solved", "duplicated_source": "duplicated_source"}');
SELECT pg_temp.describe('alignment_attempt', 'One try to fit an exposure, accepted or not.', '{
    "attempt_id": "number of the attempt", "alignment_group_id": "the group, where the fit was accepted",
    "method": "relative (to the other exposures) or absolute (to a catalog)", "catalog": "reference catalog",
    "geometry": "shift, rshift, rscale, general; none where no fit was reached",
    "outcome": "accepted, refused, or unchanged (the solution existed)", "code": "the reason as a code",
    "reason": "the reason in words and figures", "epoch": "epoch of the positions, UTC", "n_detected": "sources detected",
    "n_reference": "reference stars in reach", "nmatches": "stars used by the fit", "rms_ra_mas": "rms in RA, mas",
    "rms_dec_mas": "rms in Dec, mas", "shift_ra_mas": "shift east at the fit centre, mas",
    "shift_dec_mas": "shift north at the fit centre, mas", "rotation_deg": "rotation east of north, degrees",
    "scale_ratio": "scale change, 1 means none", "score": "score of the match", "best_decoy_score": "best score of the decoys",
    "covered_fraction": "part of the field covered by the reference catalog", "from_solution_id": "the solution it began with",
    "solution_id": "the solution it made; NULL if refused", "metrics": "further figures"}');
SELECT pg_temp.describe('attempt_reference_query', 'Which catalog answers an attempt used.', '{
    "attempt_id": "the attempt", "reference_query_id": "the query"}');
SELECT pg_temp.describe('star_match', 'Every matched star of an attempt.', '{
    "attempt_id": "the attempt", "star": "number within the attempt", "x": "detector x, pixels from 1 (as DS9 counts)",
    "y": "detector y, pixels from 1 (as DS9 counts)", "ra": "measured, by the fitted solution, degrees",
    "dec": "measured, by the fitted solution, degrees", "source_id": "identifier in the reference catalog",
    "reference_ra": "reference at the epoch of the exposure, degrees", "reference_dec": "reference at the epoch, degrees",
    "residual_ra_mas": "measured minus reference, x cos(dec), mas", "residual_dec_mas": "measured minus reference, mas",
    "error_mas": "expected error of the difference per coordinate, mas", "weight": "weight in the fit",
    "used": "whether the fit used it", "magnitude": "magnitude of the reference star", "snr": "signal to noise of the detection"}');
SELECT pg_temp.describe('exposure_mask', 'The cosmic-ray mask of an exposure, one compressed file.', '{
    "mask_id": "number of the mask", "solution_id": "the solution of the exposure it was made with",
    "inputs_sha256": "SHA-256 of the exposures and solutions it came from", "parameters": "parameters in effect",
    "parameters_sha256": "SHA-256 of the parameters", "path": "path of the file",
    "n_flagged": "pixels flagged"}');
SELECT pg_temp.describe('exposure_mask_current', 'Which mask of an exposure is in force.', '{
    "exposure_mask_current_id": "number of the row", "mask_id": "the mask"}');
SELECT pg_temp.describe('product_key', 'A place for a product: a name in a folder.', '{
    "product_key_id": "number of the key", "folder": "absolute path or URI of the folder", "name": "file name"}');
SELECT pg_temp.describe('product', 'A product as it was made.', '{
    "product_id": "number of the product", "product_key_id": "its place", "kind": "exposure, filter, total or layer",
    "name": "file name", "visit": "the visit; NULL for a layer", "sky_cell_id": "the tile; NULL for visit products",
    "instrument": "INSTRUME", "detector": "DETECTOR", "filter": "filter as in HAP names", "pixel_scale": "arcsec per pixel",
    "grid": "output WCS: crval, crpix (from 1), cd", "s_region": "outline, DALI polygon, degrees ICRS",
    "wcs_policy": "strict, absolute or any", "inputs_sha256": "SHA-256 of files, solutions and masks that went in",
    "parameters": "parameters in effect", "parameters_sha256": "SHA-256 of the parameters",
    "pixels_sha256": "SHA-256 of the pixels of SCI, WHT and CTX"}');
SELECT pg_temp.describe('product_input', 'What went into a product.', '{
    "mask_id": "the cosmic-ray mask; NULL without one", "sky": "sky subtracted per chip, electrons per second per pixel"}');
SELECT pg_temp.describe('product_exclusion', 'What a rule left out of a product.', '{
    "solution_id": "its active solution at that time", "code": "the reason as a code", "reason": "the reason in words"}');
SELECT pg_temp.describe('product_file', 'The files of a product.', '{
    "product_file_id": "number of the file", "kind": "fits or preview", "path": "absolute path or URI"}');
SELECT pg_temp.describe('product_file_check', 'What was seen when a file was looked at.', '{
    "product_file_check_id": "number of the check", "product_file_id": "the file", "state": "ok, missing or damaged",
    "checked": "when, UTC"}');
SELECT pg_temp.describe('product_pending', 'Products written aside whose files are not yet in place.', '{
    "moves": "what remains: from, to and SHA-256 of each file"}');
SELECT pg_temp.describe('product_current', 'Which product is in force at a place.', '{
    "product_current_id": "number of the row", "product_key_id": "the place"}');
