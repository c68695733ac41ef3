INSERT INTO distortion_model (sha256, sip_order, sip_a, sip_b, npol_x, npol_y, d2im_x, d2im_y, idcscale, run_id)
VALUES (:sha256, :sip_order, :sip_a, :sip_b, :npol_x, :npol_y, :d2im_x, :d2im_y, :idcscale, :run_id)
ON CONFLICT (sha256) DO NOTHING
