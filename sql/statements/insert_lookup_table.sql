INSERT INTO lookup_table (sha256, nx, ny, crpix1, crpix2, crval1, crval2, cdelt1, cdelt2, nodes, run_id)
VALUES (:sha256, :nx, :ny, :crpix1, :crpix2, :crval1, :crval2, :cdelt1, :cdelt2, :nodes, :run_id)
ON CONFLICT (sha256) DO NOTHING
