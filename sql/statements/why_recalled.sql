SELECT code, reason FROM product_awaiting_rebuild WHERE folder = :folder AND name = :name ORDER BY product_id DESC LIMIT 1
