SELECT recall_pending_id, moves FROM recall_pending ORDER BY recall_pending_id
