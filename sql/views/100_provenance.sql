-- The IVOA provenance model over the catalog: activities are runs, entities are files, solutions, masks and products.
CREATE OR REPLACE VIEW prov_activity AS
SELECT 'run:' || run_id AS id, command AS name, started AS start_time, ended AS stop_time, outcome AS status
FROM run_status;

CREATE OR REPLACE VIEW prov_was_generated_by AS
SELECT 'product:' || product_id AS entity_id, 'run:' || run_id AS activity_id FROM product
UNION ALL
SELECT 'solution:' || solution_id, 'run:' || run_id FROM wcs_solution
UNION ALL
SELECT 'mask:' || mask_id, 'run:' || run_id FROM exposure_mask
UNION ALL
SELECT 'file:' || file_id, 'run:' || run_id FROM exposure_file
UNION ALL
SELECT 'reference_query:' || reference_query_id, 'run:' || run_id FROM reference_query;

CREATE OR REPLACE VIEW prov_used AS
SELECT 'run:' || p.run_id AS activity_id, 'file:' || i.file_id AS entity_id
FROM product p JOIN product_input i USING (product_id)
UNION
SELECT 'run:' || p.run_id, 'solution:' || i.solution_id FROM product p JOIN product_input i USING (product_id)
UNION
SELECT 'run:' || p.run_id, 'mask:' || i.mask_id
FROM product p JOIN product_input i USING (product_id) WHERE i.mask_id IS NOT NULL
UNION
SELECT 'run:' || t.run_id, 'solution:' || t.from_solution_id FROM alignment_attempt t
UNION
SELECT 'run:' || t.run_id, 'reference_query:' || q.reference_query_id
FROM alignment_attempt t JOIN attempt_reference_query q USING (attempt_id);

COMMENT ON VIEW prov_activity IS 'IVOA Provenance: activities.';
COMMENT ON VIEW prov_was_generated_by IS 'IVOA Provenance: which activity generated an entity.';
COMMENT ON VIEW prov_used IS 'IVOA Provenance: which entities an activity used.';
