-- Seconds per megapixel of input, by kind of product and for masks: the median of the newest 200 runs that made any.
WITH newest AS (
    SELECT e.summary -> 'pace' AS pace
    FROM run_end e
    WHERE e.outcome = 'done' AND e.summary ? 'pace'
    ORDER BY e.run_id DESC
    LIMIT 200
)
SELECT k.kind, percentile_cont(0.5) WITHIN GROUP (
           ORDER BY CAST(k.figures ->> 'seconds' AS double precision)
                    / CAST(k.figures ->> 'megapixels' AS double precision)) AS seconds
FROM newest
CROSS JOIN LATERAL jsonb_each(newest.pace) AS k (kind, figures)
WHERE CAST(k.figures ->> 'megapixels' AS double precision) > 0
GROUP BY k.kind
