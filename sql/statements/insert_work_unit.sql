INSERT INTO work_unit (batch_id, number, name, action, target, needs, memory_bytes, seconds)
VALUES (:batch_id, :number, :name, :action, CAST(:target AS jsonb), :needs, :memory_bytes, :seconds)
