INSERT INTO work_batch (command, workers, scheduler, run_id)
VALUES (:command, :workers, :scheduler, :run_id)
RETURNING batch_id
