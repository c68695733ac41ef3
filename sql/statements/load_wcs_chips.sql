SELECT c.extver, c.chip, c.nx, c.ny, c.crpix1, c.crpix2, c.crval1, c.crval2, c.cd1_1, c.cd1_2, c.cd2_1, c.cd2_2,
       c.ctype1, c.ctype2, d.sha256 AS distortion_sha256, c.polygon, d.sip_order, d.sip_a, d.sip_b, d.npol_x,
       d.npol_y, d.d2im_x, d.d2im_y, d.idcscale
FROM wcs_chip c
JOIN distortion_model d USING (distortion_id)
WHERE c.solution_id = :solution_id
ORDER BY c.extver
