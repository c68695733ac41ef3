-- A frame of a group or guide-star set is good inside it only: those are counted together.
SELECT instrument, detector, CASE WHEN frame LIKE 'GAIA-%' THEN frame ELSE 'not absolute' END AS frame,
       count(*) AS exposures
FROM active_solution
GROUP BY 1, 2, 3
ORDER BY 1, 2, 3
