-- Sources that the fits in force of a visit used, where these put them on the sky, and what the fits are good against.
SELECT e.rootname, COALESCE(w.frame, s.frame) AS frame, s.solution_id, t.alignment_group_id, m.group_star, m.ra, m.dec,
       m.error_mas, m.magnitude, extract(epoch FROM e.t_mid) AS t_mid
FROM exposure e
JOIN wcs_active w ON w.exposure_id = e.exposure_id AND upper_inf(w.during)
JOIN wcs_solution s ON s.solution_id = w.solution_id
JOIN LATERAL (
    -- the attempt that made the solution; later ones that found it unchanged repeat its stars
    SELECT a.attempt_id, a.alignment_group_id FROM alignment_attempt a
    WHERE a.solution_id = s.solution_id AND a.outcome = 'accepted'
    ORDER BY a.attempt_id LIMIT 1
) t ON true
JOIN star_match m ON m.attempt_id = t.attempt_id AND m.used
WHERE e.visit = :visit
ORDER BY e.rootname, m.star
