COPY reference_source (reference_query_id, source_id, healpix, ra, dec, ref_epoch, ra_error, dec_error, parallax,
                       parallax_error, pmra, pmra_error, pmdec, pmdec_error, phot_g_mean_mag, bp_rp, ruwe, correlations,
                       params_solved, duplicated_source)
FROM STDIN
