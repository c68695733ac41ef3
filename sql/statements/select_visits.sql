-- Visits by patterns of LIKE and by proposals; an empty list of either asks for nothing in particular.
SELECT v.visit
FROM visit v
WHERE (CAST(:patterns AS text[]) = '{}' OR v.visit LIKE ANY (CAST(:patterns AS text[])))
  AND (CAST(:proposals AS integer[]) = '{}' OR v.proposal_id = ANY (CAST(:proposals AS integer[])))
ORDER BY v.visit
