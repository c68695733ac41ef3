SELECT extver, chip, nx, ny, crpix1, crpix2, crval1, crval2, cd1_1, cd1_2, cd2_1, cd2_2, ctype1, ctype2, distortion_id
FROM wcs_chip WHERE solution_id = :solution_id ORDER BY extver
