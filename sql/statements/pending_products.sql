-- Products whose files are not yet known to be in place, without those of runs still at work.
SELECT n.product_id, p.name, n.moves, n.run_id
FROM product_pending n
JOIN product p USING (product_id)
JOIN run r ON r.run_id = n.run_id
WHERE NOT run_is_alive(r.backend_pid, r.backend_start)
ORDER BY n.product_id
