SELECT * FROM product_lineage WHERE product_id = :product_id ORDER BY rootname, reference_query_id
