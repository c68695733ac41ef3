-- A group of a list of hundreds of exposures: its names are longer than an index may hold, its inputs tell it apart.
-- Members are numbers, every one of them.

ALTER TABLE alignment_group
    DROP CONSTRAINT alignment_group_one,
    ADD CONSTRAINT alignment_group_one UNIQUE (inputs_sha256, part);
DROP INDEX alignment_group_inputs;

ALTER TABLE alignment_member ADD CONSTRAINT alignment_member_numbers_check CHECK (
    array_position(centre || correction || covariance, NULL) IS NULL
    AND 'NaN' <> ALL (centre || correction || covariance)
    AND 'Infinity' <> ALL (centre || correction || covariance)
    AND '-Infinity' <> ALL (centre || correction || covariance)
);
