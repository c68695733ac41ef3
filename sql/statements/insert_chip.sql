INSERT INTO chip (file_id, extver, chip, nx, ny, unit, photflam, photplam, photmode)
VALUES (:file_id, :extver, :chip, :nx, :ny, :unit, :photflam, :photplam, :photmode)
