"""The state of a catalog without row numbers and times: what two catalogs share that are the same."""

import hashlib
from pathlib import Path
from typing import Any

import psycopg

QUESTIONS = {
    "exposures": """
        SELECT rootname, visit, instrument, detector, filter, exposure_time, t_mid::text, exclusion_code
        FROM exposure ORDER BY 1""",
    "files": """
        SELECT e.rootname, f.suffix, f.sha256, f.headerlets, l.path
        FROM exposure_file_current c
        JOIN exposure_file f USING (file_id)
        JOIN exposure e ON e.exposure_id = f.exposure_id
        JOIN file_location l ON l.file_id = f.file_id AND upper_inf(l.during)
        WHERE upper_inf(c.during) ORDER BY 1, 2, 5""",
    "chips": """
        SELECT e.rootname, f.suffix, c.extver, c.chip, c.nx, c.ny
        FROM chip c JOIN exposure_file f USING (file_id) JOIN exposure e USING (exposure_id)
        ORDER BY 1, 2, 3""",
    "solutions": """
        SELECT e.rootname, s.wcsname, s.transformation_sha256, s.headerlet_sha256, s.nmatches, s.rms_ra_mas,
               s.rms_dec_mas, s.problem, s.footprint::text,
               (SELECT string_agg(c.name || ' ' || t.fraction, ',' ORDER BY c.name)
                FROM solution_sky_cell t JOIN sky_cell c USING (sky_cell_id)
                WHERE t.solution_id = s.solution_id),
               (SELECT string_agg(d.sha256, ',' ORDER BY w.extver)
                FROM wcs_chip w JOIN distortion_model d USING (distortion_id)
                WHERE w.solution_id = s.solution_id)
        FROM wcs_solution s JOIN exposure e USING (exposure_id) ORDER BY 1, 2, 3""",
    "places": """
        SELECT e.rootname, s.wcsname, l.place, l.key
        FROM wcs_location l JOIN wcs_solution s USING (solution_id) JOIN exposure e USING (exposure_id)
        WHERE l.place <> 'headerlet' ORDER BY 1, 2, 3, 4""",
    "active": """
        SELECT e.rootname, s.wcsname, s.transformation_sha256, a.origin
        FROM wcs_active a JOIN wcs_solution s USING (solution_id)
        JOIN exposure e ON e.exposure_id = a.exposure_id
        WHERE upper_inf(a.during) ORDER BY 1""",
    "reference": """
        SELECT q.release, q.n_rows, q.answer_sha256, q.coverage::text, count(s.*)
        FROM reference_query q LEFT JOIN reference_source s USING (reference_query_id)
        GROUP BY q.reference_query_id ORDER BY 1, 2, 3""",
    "accepted": """
        SELECT e.rootname, t.method, t.geometry, t.nmatches, t.rms_ra_mas, t.rms_dec_mas, count(m.*),
               sum(m.residual_ra_mas)
        FROM alignment_attempt t JOIN exposure e USING (exposure_id) LEFT JOIN star_match m USING (attempt_id)
        WHERE t.outcome = 'accepted' GROUP BY t.attempt_id, e.rootname ORDER BY 1, 2, 3, 4""",
    "masks": """
        SELECT e.rootname, m.sha256, m.n_flagged
        FROM exposure_mask_current c JOIN exposure_mask m USING (mask_id)
        JOIN exposure e ON e.exposure_id = c.exposure_id WHERE upper_inf(c.during) ORDER BY 1""",
    "products": """
        SELECT p.name, p.kind, p.pixels_sha256, p.inputs_sha256 <> '', p.parameters_sha256, p.nx, p.ny,
               (SELECT string_agg(e.rootname || ' ' || s.wcsname || ' ' || coalesce(m.sha256, '-'), ','
                                  ORDER BY e.rootname)
                FROM product_input i JOIN exposure e USING (exposure_id)
                JOIN wcs_solution s ON s.solution_id = i.solution_id
                LEFT JOIN exposure_mask m ON m.mask_id = i.mask_id WHERE i.product_id = p.product_id),
               (SELECT string_agg(e.rootname || ' ' || x.code, ',' ORDER BY e.rootname)
                FROM product_exclusion x JOIN exposure e USING (exposure_id)
                WHERE x.product_id = p.product_id)
        FROM current_product c JOIN product p USING (product_id) ORDER BY 1""",
    "pending": "SELECT count(*) FROM product_pending",
}

FILES = """
    SELECT f.path, f.sha256 FROM current_product c JOIN product_file f USING (product_id)
    UNION ALL
    SELECT m.path, m.sha256 FROM exposure_mask_current c JOIN exposure_mask m USING (mask_id)
    WHERE upper_inf(c.during)
    ORDER BY 1"""


def canonical_state(url: str) -> dict[str, list[tuple[Any, ...]]]:
    """Return the rows of a catalog, by topic, in a form that does not depend on when."""
    with psycopg.connect(url) as connection:
        return {topic: connection.execute(question).fetchall() for topic, question in QUESTIONS.items()}


def damaged_files(url: str, home: Path) -> list[str]:
    """Return the files the catalog names that are missing, or have another checksum."""
    with psycopg.connect(url) as connection:
        rows = connection.execute(FILES).fetchall()
    return [path for path, sha256 in rows if _sha256(home / path) != sha256]


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "missing"
