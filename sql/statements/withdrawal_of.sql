SELECT reason FROM exposure_withdrawal WHERE exposure_id = :exposure_id AND upper_inf(during)
