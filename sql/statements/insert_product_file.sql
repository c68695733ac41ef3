INSERT INTO product_file (product_id, kind, path, sha256, size_bytes)
VALUES (:product_id, :kind, :path, :sha256, :size_bytes)
