"""The main job on real stars: four ACS/HRC exposures of the core of 47 Tuc, with real Gaia positions.

Gaia is served by the loopback TAP service. Where the stars fall is measured on the products with windowed
centroids of sep, which neither the fit nor the drizzle uses.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sep
from astropy.io import fits
from astropy.table import Table
from astropy.wcs import WCS
from hapctl.archive.database import Catalog
from hapctl.processing.astrometry.acceptance import AcceptanceRule
from hapctl.processing.astrometry.gaia_cleaning import clean_stars
from hapctl.processing.astrometry.joint_alignment import JointAlignment, align_jointly
from hapctl.processing.astrometry.reference_stars import ReferenceStars, reference_stars
from numpy.typing import NDArray
from scipy.spatial import cKDTree
from sqlalchemy import text
from support.commands import Runner
from support.data import data_file
from support.gaia_table import with_extract
from support.held_out import measured, stars_of, without
from support.tap_service import TapService, refused_url

ROOTNAMES = ("j8bt05njq", "j8bt06nyq", "j8bt06o6q", "j8bt09jcq")
TILE = "skycell-p0046x03y19"
MAS_PER_PIXEL = 25.0


@pytest.fixture
def hapctl(run_hapctl: Runner, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Run hapctl on a catalog that holds the four exposures, with Gaia at hand."""
    extract = Table.read(data_file("hrc_47tuc/gaia_dr3_47tuc_core.ecsv"))
    files = [data_file(f"hrc_47tuc/{rootname}_flt.fits") for rootname in ROOTNAMES]
    with TapService({"gaiadr3.gaia_source": with_extract(extract)}) as service:
        monkeypatch.setenv("HAPCTL_GAIA_URL", service.url)
        monkeypatch.setenv("HAPCTL_SERVICES_VIZIER", refused_url())
        monkeypatch.setenv("HAPCTL_SERVICES_RETRIES", "0")
        report = run_hapctl("ingest", *files, "--json").json()
        assert [(file["rootname"], file["status"]) for file in report["files"]] == [
            (rootname, "new") for rootname in ROOTNAMES
        ]
        yield run_hapctl


def test_47_tuc_from_files_to_tiles(hapctl: Runner, catalog: Catalog) -> None:
    check_absolute(hapctl)
    check_relative(hapctl, catalog)
    check_visit_products(hapctl, catalog)
    check_tile(hapctl, catalog)
    check_joint(hapctl, catalog)


def check_absolute(hapctl: Runner) -> None:
    """The F330W frame, 1.7 arcsec off, goes onto some 28 Gaia stars within 12 mas."""
    result = hapctl("align", "--visit", "j8bt09", "--json")
    assert result.exit_code == 0, result.stderr
    [exposure] = result.json()["visits"][0]["exposures"]
    assert exposure["wcsname"] == "IDC_n721640fj-FIT_SVM_GAIADR3"
    assert 15 <= exposure["nmatches"] <= 32
    assert max(exposure["rms_ra_mas"], exposure["rms_dec_mas"]) < 12.0
    why = hapctl("wcs", "why", "j8bt09jcq").stdout
    assert f"{exposure['nmatches']} stars" in why


def check_relative(hapctl: Runner, catalog: Catalog) -> None:
    """The F606W frames see too few unsaturated Gaia stars: refused with a reason, aligned to each other."""
    result = hapctl("align", "--visit", "j8bt06", "--json")
    assert result.exit_code == 0, result.stderr
    names = [exposure["wcsname"] for exposure in result.json()["visits"][0]["exposures"]]
    assert names == ["IDC_n721640fj-FIT_SVM_NONE"] * 2
    with catalog.begin() as connection:
        refusals = connection.execute(
            text(
                "SELECT code, reason FROM alignment_attempt "
                "WHERE visit = 'j8bt06' AND catalog = 'GAIADR3' AND outcome = 'refused'"
            )
        ).all()
    assert len(refusals) >= 2
    assert all(any(digit.isdigit() for digit in refusal.reason) for refusal in refusals)


def check_visit_products(hapctl: Runner, catalog: Catalog) -> None:
    """Stars held out of the fit coincide to 3 mas on the products of the two exposures."""
    result = hapctl("process", "--visit", "j8bt06", "--json")
    assert result.exit_code == 0, result.stderr
    [visit] = result.json()["visits"]
    assert [step["status"] for step in visit["steps"]] == ["current", "done", "done"]
    products = visit["products"]
    assert sorted(product["kind"] for product in products) == ["exposure", "exposure", "filter", "total"]
    first, second = (Path(product["path"]) for product in products if product["kind"] == "exposure")
    offsets = MAS_PER_PIXEL * star_offsets(first, second, used_stars(catalog, "FIT_SVM_NONE"))
    assert len(offsets) > 80
    assert np.hypot(*np.median(offsets, axis=0)) < 3.0
    scatter = 1.4826 * np.median(np.abs(offsets - np.median(offsets, axis=0)), axis=0)
    assert scatter.max() < 3.0
    with catalog.begin() as connection:
        assert connection.scalar(text("SELECT count(*) FROM stale_product")) == 0


def used_stars(catalog: Catalog, fit: str) -> NDArray[np.float64]:
    """Return ra and dec of the stars of a fit, shape (n, 2), degrees."""
    with catalog.begin() as connection:
        rows = connection.execute(
            text(
                "SELECT m.ra, m.dec FROM star_match m JOIN alignment_attempt t USING (attempt_id) "
                "JOIN wcs_solution s USING (solution_id) WHERE s.wcsname LIKE :name AND m.used"
            ),
            {"name": f"%{fit}"},
        ).all()
    assert rows
    return np.array(rows, dtype=float)


def star_offsets(first: Path, second: Path, used: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return where unused stars lie in one product minus the other, shape (n, 2), pixels.

    Bright, isolated, unsaturated stars: a windowed centroid follows neighbours, which is no fault of the WCS.
    """
    lists = [centroids(path) for path in (first, second)]
    with fits.open(first) as product:
        excluded = np.column_stack(WCS(product["SCI"].header).all_world2pix(*used.T, 0))
    isolated = [stars[isolation(stars) > 9.0] for stars in lists]
    held_out = isolated[0][cKDTree(excluded).query(isolated[0])[0] > 2.0]
    distance, nearest = cKDTree(isolated[1]).query(held_out, distance_upper_bound=1.0)
    paired = np.isfinite(distance)
    return isolated[1][nearest[paired]] - held_out[paired]


def centroids(path: Path) -> NDArray[np.float64]:
    """Return windowed centroids of the stars above 40 sigma, shape (n, 2), pixels from 0."""
    with fits.open(path) as product:
        data, weight = (np.ascontiguousarray(product[name].data, dtype=float) for name in ("SCI", "WHT"))
    mask = ~np.isfinite(data) | (weight <= 0)
    data[mask] = 0.0
    background = sep.Background(data, mask=mask, bw=32, bh=32)
    data -= background.back()
    stars = sep.extract(data, 40.0, err=background.globalrms, mask=mask, minarea=5)
    x, y, flags = sep.winpos(data, stars["x"], stars["y"], 1.0, mask=mask)
    return np.column_stack([x, y])[(flags == 0) & (stars["flag"] == 0)]


def isolation(stars: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the distance of each star to the next one, pixels."""
    distance: NDArray[np.float64] = cKDTree(stars).query(stars, k=2)[0][:, 1]
    return distance


def check_joint(hapctl: Runner, catalog: Catalog) -> None:
    """Solved together, all four exposures are in Gaia's frame, and strict lets them into one tile."""
    result = hapctl("align", "--tile", TILE, "--json")
    assert result.exit_code == 0, result.stderr
    exposures = result.json()["tiles"][0]["exposures"]
    assert {e["wcsname"] for e in exposures} == {"IDC_n721640fj-FIT_MVM_GAIADR3"}
    assert all(0.5 < e["predicted_error_mas"] < 2.5 for e in exposures)
    assert "none of its own stars is in GAIADR3" in hapctl("wcs", "why", "j8bt05njq").stdout
    result = hapctl("mosaic", "--tile", TILE, "--json")
    assert result.exit_code == 0, result.stderr
    assert len(result.json()["products"]) == 3
    with catalog.begin() as connection:
        frames = connection.execute(text("SELECT DISTINCT frame FROM active_solution")).scalars().all()
    assert frames == ["GAIA-CRF3"]


def test_stars_held_out_of_the_joint_fit_agree() -> None:
    """Every other star that Gaia does not have is left out: pairs of exposures put it at the same place."""
    gaia = clean_stars(real_gaia(), "gaiadr3").stars
    exposures = measured([data_file(f"hrc_47tuc/{rootname}_flt.fits") for rootname in ROOTNAMES])
    together = align_jointly(exposures, gaia, AcceptanceRule())
    check_gaia(together, gaia)
    stars = stars_of(exposures, together)
    known = np.concatenate([o.matches.star[o.matches.reference >= 0] for o in together.outcomes])
    numbers = np.setdiff1d(np.concatenate(stars), known)
    half, pairs = without(exposures, stars, numbers[(numbers >= 0) & (numbers % 2 == 0)], gaia)
    assert [outcome.frame for outcome in half.outcomes] == ["catalog"] * 4
    assert len(pairs) == 6
    for pair in pairs:
        names = exposures[pair.first].rootname, exposures[pair.second].rootname
        assert len(pair.offsets) > 90, names
        assert pair.median() < 1.0, names
        assert pair.worst_quadrant() < 2.0, names
        assert pair.scatter() < 1.2, names


def real_gaia() -> ReferenceStars:
    """Gaia's stars in the core of 47 Tuc."""
    table = Table.read(data_file("hrc_47tuc/gaia_dr3_47tuc_core.ecsv"))
    names = ("ra_error", "dec_error", "pmra", "pmdec", "phot_g_mean_mag", "ref_epoch")
    columns = {name: np.ma.filled(np.ma.asarray(table[name], dtype=float), np.nan) for name in names}
    return reference_stars(np.array(table["ra"]), np.array(table["dec"]), **columns)


def check_gaia(together: JointAlignment, gaia: ReferenceStars) -> None:
    """All errors are as large as residuals say; Gaia's stars with motions of their own lie within 3 mas."""
    solution = together.groups[0].solution
    assert 0.8 < solution.chi_squared / solution.freedom < 1.2
    assert solution.rescaling < 1.1
    assert all(1.0 < outcome.predicted_error_mas < 2.5 for outcome in together.outcomes)
    matches = together.outcomes[ROOTNAMES.index("j8bt09jcq")].matches
    used = (matches.reference >= 0) & (solution.catalog_weights[matches.star] > 0)
    own = used & np.isfinite(gaia.pmra[matches.reference])
    assert (np.count_nonzero(used) >= 18, np.count_nonzero(own) >= 9) == (True, True)
    assert np.sqrt(np.mean(matches.catalog_residuals[own] ** 2)) < 3.5


def check_tile(hapctl: Runner, catalog: Catalog) -> None:
    """On the corner of four tiles: strict refuses to mix frames, any makes a layer of each filter."""
    strict = hapctl("mosaic", "--tile", TILE, "--json")
    assert strict.exit_code == 1
    message = strict.json()["error"]["message"]
    assert "frame" in message
    assert all(rootname in message for rootname in ROOTNAMES)
    result = hapctl("mosaic", "--tile", TILE, "--wcs-policy", "any", "--json")
    assert result.exit_code == 0, result.stderr
    names = sorted(Path(product["path"]).name for product in result.json()["products"])
    assert names == [f"hst_{TILE}_acs_hrc_{name}_all_drz.fits" for name in ("f330w", "f555w", "f606w")]
    with catalog.begin() as connection:
        assert connection.scalar(text("SELECT count(*) FROM stale_product")) == 0
