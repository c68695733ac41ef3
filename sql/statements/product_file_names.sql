-- The names of all files of products in force, by folder, one name a line (names hold no line ends where products have them).
SELECT f.folder, string_agg(f.name, E'\n') AS names
FROM product_current n
JOIN product p USING (product_key_id, product_id)
JOIN (SELECT product_id, left(path, length(path) - position('/' IN reverse(path))) AS folder,
             right(path, position('/' IN reverse(path)) - 1) AS name
      FROM product_file) f ON f.product_id = n.product_id
WHERE upper_inf(n.during) AND p.origin = 'made'
GROUP BY f.folder
