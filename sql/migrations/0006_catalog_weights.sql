-- Which positions of the catalog a joint solution believed: a wrong row stays on record, and counts nowhere.

ALTER TABLE star_match
    ADD COLUMN catalog_weight double precision CHECK (catalog_weight BETWEEN 0 AND 1),
    ADD CONSTRAINT star_match_check CHECK (catalog_weight IS NULL OR catalog_ra IS NOT NULL);
COMMENT ON COLUMN star_match.catalog_weight IS
    'robust weight of the catalog position in the joint solution, 0 to 1, 0: rejected; NULL for a star of no catalog, and before version 6';
