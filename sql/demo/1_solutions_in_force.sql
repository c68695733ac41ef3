-- Which WCS is in force for each exposure, and how good is its fit?
SELECT rootname, wcsname, nmatches AS stars, rms_ra_mas, rms_dec_mas
FROM active_solution
ORDER BY rootname
