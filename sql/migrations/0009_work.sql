-- Work on many targets: batches of units, who worked on each, and how it ended. Progress is a question to the catalog.

CREATE TABLE work_batch (
    batch_id  bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    command   text NOT NULL CHECK (command <> ''),
    workers   integer CHECK (workers > 0),
    scheduler text CHECK (scheduler <> ''),
    run_id    bigint NOT NULL UNIQUE REFERENCES run,
    CONSTRAINT work_batch_here_or_there CHECK ((workers IS NULL) <> (scheduler IS NULL))
);

CREATE TABLE work_unit (
    batch_id     bigint NOT NULL REFERENCES work_batch,
    number       integer NOT NULL CHECK (number >= 0),
    name         text NOT NULL CHECK (name <> ''),
    action       text NOT NULL CHECK (action <> ''),
    target       jsonb NOT NULL,
    needs        integer[] NOT NULL DEFAULT '{}',
    memory_bytes bigint CHECK (memory_bytes > 0),
    seconds      double precision CHECK (seconds >= 0 AND seconds < 'Infinity'),
    PRIMARY KEY (batch_id, number),
    UNIQUE (batch_id, name),
    CONSTRAINT work_unit_needs_earlier CHECK (number > ALL (needs))
);

CREATE TABLE work_unit_start (
    work_unit_start_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    batch_id           bigint NOT NULL,
    number             integer NOT NULL,
    host               text NOT NULL,
    pid                integer NOT NULL,
    backend_pid        integer NOT NULL,
    backend_start      timestamptz NOT NULL,
    memory_bytes       bigint CHECK (memory_bytes > 0),
    started            timestamptz NOT NULL DEFAULT clock_timestamp(),
    FOREIGN KEY (batch_id, number) REFERENCES work_unit (batch_id, number)
);
CREATE INDEX work_unit_start_unit ON work_unit_start (batch_id, number);

CREATE TABLE work_unit_end (
    batch_id          bigint NOT NULL,
    number            integer NOT NULL,
    status            text NOT NULL CHECK (status IN ('done', 'unchanged', 'refused', 'failed', 'skipped')),
    exit_code         smallint NOT NULL CHECK (exit_code BETWEEN 0 AND 255),
    message           text NOT NULL DEFAULT '',
    remedy            text NOT NULL DEFAULT '',
    runs              bigint[] NOT NULL DEFAULT '{}',
    seconds           double precision NOT NULL CHECK (seconds >= 0 AND seconds < 'Infinity'),
    peak_memory_bytes bigint NOT NULL CHECK (peak_memory_bytes >= 0),
    ended             timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (batch_id, number),
    FOREIGN KEY (batch_id, number) REFERENCES work_unit (batch_id, number),
    CONSTRAINT work_unit_end_well CHECK ((status IN ('done', 'unchanged')) = (exit_code = 0))
);

DO $$
DECLARE
    name text;
BEGIN
    FOREACH name IN ARRAY ARRAY['work_batch', 'work_unit', 'work_unit_start', 'work_unit_end'] LOOP
        EXECUTE format('CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON %I
                        FOR EACH ROW EXECUTE FUNCTION forbid_change()', name);
        EXECUTE format('CREATE TRIGGER append_only_truncate BEFORE TRUNCATE ON %I
                        FOR EACH STATEMENT EXECUTE FUNCTION forbid_change()', name);
    END LOOP;
END $$;

COMMENT ON TABLE work_batch IS 'A command on many targets: its units are worked on in any order that their needs allow.';
COMMENT ON COLUMN work_batch.batch_id IS 'number, as in hapctl status --watch --batch';
COMMENT ON COLUMN work_batch.command IS 'what is done to each target, such as mosaic';
COMMENT ON COLUMN work_batch.workers IS 'processes of the machine of its run; NULL: a Dask cluster';
COMMENT ON COLUMN work_batch.scheduler IS 'address of the Dask scheduler; NULL: processes of one machine';
COMMENT ON COLUMN work_batch.run_id IS 'run that hands out the units; it lives as long as the batch';

COMMENT ON TABLE work_unit IS 'A piece of work that one worker does alone.';
COMMENT ON COLUMN work_unit.batch_id IS 'the batch';
COMMENT ON COLUMN work_unit.number IS 'place in the batch, from 0; a unit has a higher one than all it needs';
COMMENT ON COLUMN work_unit.name IS 'for people, such as mosaic visit j8bt06';
COMMENT ON COLUMN work_unit.action IS 'ingest, align, mosaic, process: what the worker does';
COMMENT ON COLUMN work_unit.target IS 'what it is done to, such as {"visit": "j8bt06"}';
COMMENT ON COLUMN work_unit.needs IS 'numbers of the units that must have ended well before';
COMMENT ON COLUMN work_unit.memory_bytes IS 'predicted peak; NULL: predicted when it begins, or not at all';
COMMENT ON COLUMN work_unit.seconds IS 'predicted from runs of the past; NULL: there were none to go by';

COMMENT ON TABLE work_unit_start IS 'A worker began a unit; again, where the one before was lost.';
COMMENT ON COLUMN work_unit_start.work_unit_start_id IS 'number; the newest of a unit counts';
COMMENT ON COLUMN work_unit_start.batch_id IS 'the batch';
COMMENT ON COLUMN work_unit_start.number IS 'the unit';
COMMENT ON COLUMN work_unit_start.host IS 'machine of the worker';
COMMENT ON COLUMN work_unit_start.pid IS 'process of the worker on that machine';
COMMENT ON COLUMN work_unit_start.backend_pid IS 'database session that the worker holds until the unit ends';
COMMENT ON COLUMN work_unit_start.backend_start IS 'start of that session: with backend_pid it names it for ever';
COMMENT ON COLUMN work_unit_start.memory_bytes IS 'predicted peak that the worker was asked to have; NULL: not predicted';
COMMENT ON COLUMN work_unit_start.started IS 'when';

COMMENT ON TABLE work_unit_end IS 'How a unit ended.';
COMMENT ON COLUMN work_unit_end.batch_id IS 'the batch';
COMMENT ON COLUMN work_unit_end.number IS 'the unit';
COMMENT ON COLUMN work_unit_end.status IS 'done, unchanged (all was current), refused, failed, or skipped: what it needs did not end well';
COMMENT ON COLUMN work_unit_end.exit_code IS 'that of the command that does this unit alone';
COMMENT ON COLUMN work_unit_end.message IS 'what went wrong, in one line';
COMMENT ON COLUMN work_unit_end.remedy IS 'what to do, in one line';
COMMENT ON COLUMN work_unit_end.runs IS 'runs that it recorded';
COMMENT ON COLUMN work_unit_end.seconds IS 'elapsed';
COMMENT ON COLUMN work_unit_end.peak_memory_bytes IS 'peak memory of the worker meanwhile, RssAnon + RssShmem; 0: not known';
COMMENT ON COLUMN work_unit_end.ended IS 'when';
