-- All recalls, newest first, with what they hold and what still waits for a rebuild.
SELECT r.recall_id, r.target, coalesce(r.recalled_run_id, r.file_id, r.solution_id, r.product_id) AS target_id, r.reason, r.run_id,
       b.reason AS released, b.run_id AS release_run_id,
       (SELECT count(*) FROM recalled_file o WHERE o.recall_id = r.recall_id) AS files,
       (SELECT count(*) FROM recalled_query o WHERE o.recall_id = r.recall_id) AS queries,
       (SELECT count(*) FROM recalled_solution o WHERE o.recall_id = r.recall_id) AS solutions,
       (SELECT count(*) FROM recalled_mask o WHERE o.recall_id = r.recall_id) AS masks,
       (SELECT count(*) FROM recalled_product o WHERE o.recall_id = r.recall_id) AS products,
       ARRAY(SELECT a.path FROM product_awaiting_rebuild a
             JOIN recalled_product o ON o.product_id = a.product_id AND o.recall_id = r.recall_id
             WHERE b.recall_id IS NULL ORDER BY a.path) AS awaiting
FROM recall r
LEFT JOIN recall_release b USING (recall_id)
ORDER BY r.recall_id DESC
