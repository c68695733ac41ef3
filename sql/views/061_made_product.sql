CREATE OR REPLACE VIEW made_product AS
SELECT * FROM current_product WHERE origin = 'made';

COMMENT ON VIEW made_product IS 'The products in force that were made here: those that can be stale.';
