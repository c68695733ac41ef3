SELECT s.reference_query_id, s.source_id, s.ra, s.dec, s.ref_epoch, s.ra_error, s.dec_error, s.parallax,
       s.parallax_error, s.pmra, s.pmra_error, s.pmdec, s.pmdec_error, s.correlations, s.phot_g_mean_mag, s.bp_rp,
       s.ruwe, s.params_solved, s.duplicated_source
FROM unnest(CAST(:starts AS bigint[]), CAST(:stops AS bigint[])) AS part (start, stop)
JOIN reference_source s ON s.healpix >= part.start AND s.healpix < part.stop
WHERE s.reference_query_id = ANY (CAST(:query_ids AS bigint[]))
