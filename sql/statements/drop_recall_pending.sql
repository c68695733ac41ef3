DELETE FROM recall_pending WHERE recall_pending_id = :recall_pending_id
