INSERT INTO wcs_chip (
    solution_id, extver, chip, nx, ny, crpix1, crpix2, crval1, crval2, cd1_1, cd1_2, cd2_1, cd2_2, ctype1, ctype2,
    distortion_id, polygon
)
SELECT :solution_id, :extver, :chip, :nx, :ny, :crpix1, :crpix2, :crval1, :crval2, :cd1_1, :cd1_2, :cd2_1, :cd2_2,
       :ctype1, :ctype2, d.distortion_id, CAST(:polygon AS double precision[])
FROM distortion_model d
WHERE d.sha256 = :distortion_sha256
