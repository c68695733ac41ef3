SELECT sha256, nx, ny, crpix1, crpix2, crval1, crval2, cdelt1, cdelt2, nodes
FROM lookup_table WHERE sha256 = ANY(CAST(:keys AS text[]))
