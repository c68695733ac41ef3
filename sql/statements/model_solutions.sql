-- The solutions of an exposure as its distortion models give them: what tells where its chips lie beside each other.
SELECT solution_id FROM wcs_solution
WHERE exposure_id = :exposure_id AND kind = 'idc' AND problem IS NULL
ORDER BY solution_id
