SELECT 'recall ' || min(w.recall_id) || ' (' || string_agg(DISTINCT w.reason, '; ') || ')'
FROM recalled_file r JOIN recall_in_force w USING (recall_id)
WHERE r.file_id = :file_id
HAVING count(*) > 0
