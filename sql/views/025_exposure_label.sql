-- Which part of a layer split by epoch (calendar year of the start, UTC) or by proposal an exposure goes into.
CREATE OR REPLACE VIEW exposure_label AS
SELECT e.exposure_id, e.rootname, part.split_by, part.label
FROM exposure e
CROSS JOIN LATERAL (VALUES
    ('epoch', 'y' || extract(year FROM timestamp '1858-11-17' + e.mjd_start * interval '1 day')),
    ('proposal', 'p' || lpad(COALESCE(e.proposal_id, 0)::text, greatest(5, length(e.proposal_id::text)), '0'))
) part (split_by, label);

COMMENT ON VIEW exposure_label IS 'Labels of the parts that split layers and mosaics of an exposure have: y2012, p09019.';
