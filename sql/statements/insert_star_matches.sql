INSERT INTO star_match (
    attempt_id, star, extver, x, y, ra, dec, source_id, reference_ra, reference_dec, residual_ra_mas,
    residual_dec_mas, error_mas, weight, used, magnitude, snr, group_star, catalog_ra, catalog_dec,
    catalog_residual_ra_mas, catalog_residual_dec_mas, catalog_weight, instrumental_magnitude
)
SELECT :attempt_id, m.*
FROM unnest(
    CAST(:star AS integer[]), CAST(:extver AS integer[]), CAST(:x AS float8[]), CAST(:y AS float8[]),
    CAST(:ra AS float8[]), CAST(:dec AS float8[]), CAST(:source_id AS text[]), CAST(:reference_ra AS float8[]),
    CAST(:reference_dec AS float8[]), CAST(:residual_ra_mas AS float8[]), CAST(:residual_dec_mas AS float8[]),
    CAST(:error_mas AS float8[]), CAST(:weight AS float8[]), CAST(:used AS boolean[]),
    CAST(:magnitude AS float8[]), CAST(:snr AS float8[]), CAST(:group_star AS integer[]),
    CAST(:catalog_ra AS float8[]), CAST(:catalog_dec AS float8[]), CAST(:catalog_residual_ra_mas AS float8[]),
    CAST(:catalog_residual_dec_mas AS float8[]), CAST(:catalog_weight AS float8[]),
    CAST(:instrumental_magnitude AS float8[])
) m
