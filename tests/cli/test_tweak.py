"""`hapctl tweak` as a user meets it: right solutions, files as TweakReg's, refusals that change nothing."""

import hashlib
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table
from astropy.wcs import WCS
from hapctl.cli.parameter_form import ParameterForm, row_id
from hapctl.processing.astrometry.headerlet import read_headerlet
from hapctl.processing.astrometry.mapping import pixel_to_sky
from hapctl.processing.astrometry.plane import TangentPlane
from hapctl.processing.astrometry.reading import read_solutions
from hapctl.processing.astrometry.solution import WcsSolution
from hapctl.processing.astrometry.tweak_parameters import TWEAK, TweakParameters
from PIL import Image
from support.commands import Result, run_here
from support.data import data_file
from support.gaia_table import with_extract
from support.sky_visit import SkyVisit, sky_visit
from support.tap_service import TapService

pytestmark = pytest.mark.usefixtures("clean_environment")
QUIET = ("--set", "output.residplot=none", "--set", "output.see2dplot=false")


@pytest.fixture(scope="module")
def visit(tmp_path_factory: pytest.TempPathFactory) -> SkyVisit:
    """Two exposures that no test changes."""
    return sky_visit(tmp_path_factory.mktemp("visit"))


@pytest.fixture(scope="module")
def aligned(visit: SkyVisit, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """The folder and the document of one run with everything switched on."""
    folder = tmp_path_factory.mktemp("aligned")
    before = sums(visit)
    options = ("--set", "headerlet.headerlet=true", "--set", "output.matches=both", "--updatehdr")
    options += ("--set", "output.blink=true")
    done = run_here(
        ("tweak", *visit.files, "--refcat", visit.extract, "--output-dir", folder, "--json", *options)
    )
    assert done.exit_code == 0, done.stderr
    assert sums(visit) == before
    return folder, done.json()


def sums(visit: SkyVisit) -> list[str]:
    return [hashlib.sha256(path.read_bytes()).hexdigest() for path in visit.files]


def primary(path: Path) -> WcsSolution:
    return read_solutions(path)[0].solution


def tweak(visit: SkyVisit, folder: Path, *options: object) -> Result:
    return run_here(("tweak", *visit.files, "--output-dir", folder, "--json", *QUIET, *options))


def differences(first: WcsSolution, second: WcsSolution) -> float:
    """Largest distance of two solutions over all chips, mas."""
    largest = 0.0
    for one, other in zip(first.chips, second.chips, strict=True):
        x, y = (
            v.ravel() for v in np.meshgrid(np.linspace(0, one.shape[1], 5), np.linspace(0, one.shape[0], 5))
        )
        plane = TangentPlane(*one.crval)
        offsets = plane.project_sky(*pixel_to_sky(one, x, y)) - plane.project_sky(*pixel_to_sky(other, x, y))
        largest = max(largest, 1e3 * float(np.hypot(*offsets.T).max()))
    return largest


def test_copies_get_the_right_wcs_and_keep_the_old_one(
    visit: SkyVisit, aligned: tuple[Path, dict[str, Any]]
) -> None:
    folder, document = aligned
    assert [one["outcome"] for one in document["images"]] == ["accepted", "accepted"]
    for path, told in zip(visit.files, document["images"], strict=True):
        found = read_solutions(folder / path.name)
        new = found[0].solution
        assert new.name == told["wcsname"] == "TWEAK"
        error = visit.error_mas(new)
        assert error < 4.0
        assert error < 3.0 * told["predicted_error_mas"]
        assert visit.error_mas(primary(path)) > 100.0
        assert primary(path).name in {one.solution.name for one in found[1:]}
        assert new.keywords["NMATCHES"] == told["nmatches"] > 20
        attached = [one.solution for one in found if one.location.kind == "headerlet"]
        (own,) = (solution for solution in attached if solution.name == "TWEAK")
        assert own.keywords["CATALOG"] == visit.extract.name


def test_the_shift_file_takes_new_places_to_old_ones(
    visit: SkyVisit, aligned: tuple[Path, dict[str, Any]]
) -> None:
    folder, _ = aligned
    lines = (folder / "shifts.txt").read_text().splitlines()
    assert lines[:4] == [
        "# frame: output", "# refimage: shifts_wcs.fits[wcs]", "# form: delta", "# units: pixels",
    ]  # fmt: skip
    header = fits.getheader(folder / "shifts_wcs.fits", "WCS")
    frame = WCS({key: header[key] for key in header if key[:3] in ("CRP", "CRV", "CTY", "CD1", "CD2")})
    centre = np.array([header["CRPIX1"], header["CRPIX2"]])
    for path, line in zip(visit.files, lines[4:], strict=True):
        name, *words = line.split()
        dx, dy, rotation, scale, x_rms, y_rms = map(float, words)
        assert name == path.name
        assert max(x_rms, y_rms) < 1.0
        c, s = np.cos(np.radians(rotation)), np.sin(np.radians(rotation))
        for old, new in zip(primary(path).chips, primary(folder / path.name).chips, strict=True):
            x, y = np.array([0.0, 700.0, 300.0]), np.array([0.0, 400.0, 50.0])
            before, after = (
                np.column_stack(frame.wcs_world2pix(*pixel_to_sky(chip, x, y), 1)) for chip in (old, new)
            )
            expected = centre + [dx, dy] + scale * (after - centre) @ np.array([[c, s], [-s, c]]).T
            assert np.abs(before - expected).max() < 2e-3


def test_match_files_have_the_columns_of_tweakreg(
    visit: SkyVisit, aligned: tuple[Path, dict[str, Any]]
) -> None:
    folder, document = aligned
    path, root = visit.files[0], visit.files[0].name.removesuffix(".fits")
    text = (folder / f"{root}_catalog_fit.match").read_text().splitlines()
    assert text[0] == f"# Input image: {path.name}"
    assert "#     Column 18: Ref source provenience" in text
    rows = [line.split() for line in text if not line.startswith("#")]
    assert {len(row) for row in rows} == {18}
    assert len(rows) <= document["images"][0]["nmatches"] + 5
    table = np.array([row[:17] for row in rows], dtype=float)
    assert np.allclose(table[:, 4:6] - table[:, 8:10], table[:, 6:8], atol=3e-6)
    new = {chip.extver: chip for chip in primary(folder / path.name).chips}
    for row in table:
        ra, dec = pixel_to_sky(new[int(row[14])], row[10] - 1, row[11] - 1)
        assert abs(float(ra) - row[15]) < 1e-8
        assert abs(float(dec) - row[16]) < 1e-8
    extract = Table.read(visit.extract)
    order = np.argsort(extract["phot_g_mean_mag"], kind="stable")
    ids = order[table[:, 12].astype(int)]
    away = (table[:, 15] - extract["ra"][ids]) * np.cos(np.radians(2.2)), table[:, 16] - extract["dec"][ids]
    assert np.hypot(*away).max() * 3.6e6 < 100.0  # motions of some years
    ecsv = Table.read(folder / f"{root}_matches.ecsv")
    assert ecsv["used"].sum() == len(rows)
    assert str(ecsv["residual_east"].unit) == "mas"


def test_every_file_is_told_and_there(visit: SkyVisit, aligned: tuple[Path, dict[str, Any]]) -> None:
    folder, document = aligned
    told = {Path(name).name for name in document["files"]} | {path.name for path in visit.files}
    assert told == {path.name for path in folder.iterdir()}
    for path in visit.files:
        root = path.name.removesuffix(".fits")
        headerlet = read_headerlet(folder / f"{root}_TWEAK_hlet.fits")
        assert differences(headerlet, primary(folder / path.name)) < 1e-5
        for name in (f"{root}_sci1_xy_catalog.coo", f"{root}_sci2_xy_catalog.coo", f"{root}_sky_catalog.coo"):
            assert (folder / name).read_text().startswith("#")
        for name in (f"residuals_{root}.png", f"residuals_{root}_vector.png", f"hist2d_{root}.png"):
            assert (folder / name).read_bytes().startswith(b"\x89PNG")


def test_stars_lie_on_their_cross_hairs_in_the_second_frame(aligned: tuple[Path, dict[str, Any]]) -> None:
    with Image.open(aligned[0] / "blink.png") as shown:
        assert shown.n_frames == 2


def test_lists_of_sources_give_the_same_solution(
    visit: SkyVisit, aligned: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    folder, _ = aligned
    lists = ("--set", f"sources.catfile={folder / 'xy_catfile.list'}", "--set", "sources.fluxcol=3")
    done = tweak(visit, tmp_path, "--refcat", visit.extract, "--updatehdr", *lists)
    assert done.exit_code == 0, done.stderr
    for path in visit.files:
        assert visit.error_mas(primary(tmp_path / path.name)) < 6.0


def test_plain_columns_and_an_image_serve_as_reference(
    visit: SkyVisit, aligned: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    extract = Table.read(visit.extract)
    years = (visit_year(visit) - 2016.0) / 3.6e6
    ra = extract["ra"] + years * extract["pmra"] / np.cos(np.radians(extract["dec"]))
    rows = np.column_stack([ra, extract["dec"] + years * extract["pmdec"], extract["phot_g_mean_mag"]])
    np.savetxt(tmp_path / "gaia.cat", rows, fmt="%.9f")
    done = tweak(visit, tmp_path / "one", "--refcat", tmp_path / "gaia.cat", "--updatehdr",
                 "--set", "reference.rfluxcol=3", "--set", "reference.refnbright=60")  # fmt: skip
    assert done.exit_code == 0, done.stderr
    reference = aligned[0] / visit.files[0].name
    done = run_here(("tweak", visit.files[1], "--output-dir", tmp_path / "two", "--updatehdr", *QUIET,
                     "--set", f"images.refimage={reference}"))  # fmt: skip
    assert done.exit_code == 0, done.stderr
    assert visit.error_mas(primary(tmp_path / "one" / visit.files[0].name)) < 5.0
    assert visit.error_mas(primary(tmp_path / "two" / visit.files[1].name)) < 5.0


def visit_year(visit: SkyVisit) -> float:
    return 2000.0 + (fits.getval(visit.files[0], "EXPSTART") - 51544.5) / 365.25


def test_images_are_brought_onto_each_other(visit: SkyVisit, tmp_path: Path) -> None:
    done = tweak(visit, tmp_path, "--updatehdr")
    assert done.exit_code == 0, done.stderr
    assert {one["frame"] for one in done.json()["images"]} == {"the other images"}
    offsets = []
    for path in visit.files:
        new, true = primary(tmp_path / path.name), visit.truth[path.name[:9]]
        plane = TangentPlane(150.0, 2.2)
        places = (pixel_to_sky(one.chips[0], np.array([500.0]), np.array([250.0])) for one in (new, true))
        offsets.append(np.subtract(*(plane.project_sky(*place)[0] for place in places)))
    assert np.hypot(*(offsets[0] - offsets[1])) < 0.05  # common errors of pointing and roll stay


@pytest.mark.parametrize("geometry", ["shift", "rshift", "rscale", "general"])
def test_a_geometry_holds_what_it_does_not_name(visit: SkyVisit, tmp_path: Path, geometry: str) -> None:
    done = tweak(visit, tmp_path, "--refcat", visit.extract, "--set", f"fit.fitgeometry={geometry}",
                 "--set", "match.tolerance=4")  # fmt: skip
    shifts = [one["shift"] for one in done.json()["images"] if one["shift"]]
    assert shifts or geometry == "shift"  # without its roll the images do not fit
    for row in shifts:
        turn = (row["rotation"] + 180.0) % 360.0 - 180.0
        assert (abs(turn) < 1e-5) == (geometry == "shift")
        assert (abs(row["scale"] - 1.0) < 1e-7) == (geometry in ("shift", "rshift"))


def test_a_first_guess_leads_where_the_search_does_not_reach(visit: SkyVisit, tmp_path: Path) -> None:
    far = ("--refcat", visit.extract, "--set", "match.searchrad=0.05")
    refused = run_here(
        ("tweak", visit.files[0], "--output-dir", tmp_path, *QUIET, *far, "--overwrite", "--json")
    )
    assert refused.exit_code == 1
    row = run_here(
        ("tweak", visit.files[0], "--output-dir", tmp_path, *QUIET, *far[:2], "--overwrite", "--json")
    )
    shift = row.json()["images"][0]["shift"]
    guess = ("--set", f"match.xoffset={shift['dx']}", "--set", f"match.yoffset={shift['dy']}")
    found = run_here(("tweak", visit.files[0], "--output-dir", tmp_path, *QUIET, *far, *guess, "--overwrite",
                      "--json"))  # fmt: skip
    assert found.exit_code == 0, found.stderr
    again = found.json()["images"][0]["shift"]
    assert again["dx"] == pytest.approx(shift["dx"], abs=0.02)


def test_gaia_is_asked_without_a_database(
    visit: SkyVisit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sky = with_extract(Table.read(visit.extract))
    wrong = np.arange(0, len(sky), 3)
    sky["ra"][wrong] += 0.02 / 3600.0
    sky["ruwe"] = np.where(np.isin(np.arange(len(sky)), wrong), 3.0, 1.0)
    with TapService({"gaiadr3.gaia_source": sky}) as service:
        monkeypatch.setenv("HAPCTL_GAIA_URL", service.url)
        monkeypatch.setenv("HAPCTL_DATABASE", "postgresql://nobody@127.0.0.1:1/none")
        done = tweak(visit, tmp_path, "--refcat", "GAIADR3", "--set", "headerlet.headerlet=true")
    assert done.exit_code == 0, done.stderr
    assert done.json()["reference"] == "GAIADR3"
    (note,) = done.json()["notes"]
    assert re.fullmatch(r"stars of GAIADR3 left out: \d+ ruwe(, \d+ duplicated)?", note)
    assert f"hapctl: {note}" in done.stderr
    root = visit.files[0].name.removesuffix(".fits")
    headerlet = read_headerlet(tmp_path / f"{root}_TWEAK_hlet.fits")
    assert headerlet.keywords["CATALOG"] == "GAIADR3"
    assert visit.error_mas(headerlet) < 4.0


def test_a_wrong_field_is_refused_and_nothing_changes(visit: SkyVisit, tmp_path: Path) -> None:
    extract = Table.read(visit.extract)
    extract["ra"] += 0.5
    extract.write(tmp_path / "elsewhere.ecsv")
    before = sums(visit)
    done = tweak(visit, tmp_path / "out", "--refcat", tmp_path / "elsewhere.ecsv", "--updatehdr")
    assert done.exit_code == 1
    images = done.json()["images"]
    assert {one["outcome"] for one in images} == {"refused"}
    assert all(one["reason"] and one["written_to"] is None for one in images)
    assert sums(visit) == before
    assert not list((tmp_path / "out").glob("*_flc.fits"))


def test_in_place_and_reuse_of_a_name(visit: SkyVisit, tmp_path: Path) -> None:
    file = Path(shutil.copy(visit.files[0], tmp_path))
    command = (
        "tweak",
        file,
        "--refcat",
        visit.extract,
        "--in-place",
        "--output-dir",
        tmp_path / "out",
        *QUIET,
    )
    assert run_here(command).exit_code == 0
    assert primary(file).name == "TWEAK"
    changed = file.read_bytes()
    again = run_here((*command, "--overwrite"))
    assert again.exit_code == 1
    assert "has a WCS TWEAK already" in again.stderr
    assert file.read_bytes() == changed
    assert run_here((*command, "--overwrite", "--set", "header.reusename=true")).exit_code == 0
    assert visit.error_mas(primary(file)) < 4.0


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        (("nothing_flc.fits",), 3, "no such file"),
        (("{one}",), 2, "nothing to be aligned to"),
        (("{one}", "--refcat", "nothing.cat"), 2, "'nothing.cat' is not known"),
        (("{one}", "{two}", "--updatehdr", "--output-dir", "{folder}"), 1, "is the image itself"),
        (("{one}", "{two}", "--set", "headerlet.hdrfile=a.fits"), 2, "one name for 2 images"),
        (("{one}", "--set", "fit.fitgeometry=affine"), 2, "one of hst, shift"),
        (("{one}", "--set", "match.serchrad=1"), 2, "did you mean 'match.searchrad'"),
        (("{one}", "--refcat", "{extract}", "--set", "images.exclusions=none.lis"), 3, "none.lis"),
        (("--edit",), 2, "needs a terminal"),
    ],
)
def test_what_can_not_be_is_refused_with_a_remedy(
    visit: SkyVisit,
    options: tuple[str, ...],
    code: int,
    words: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    places = {"one": visit.files[0], "two": visit.files[1], "folder": visit.folder, "extract": visit.extract}
    before = sums(visit)
    done = run_here(("tweak", *(option.format(**places) for option in options)))
    assert done.exit_code == code, done.stderr
    assert words in done.stderr
    assert done.stderr.rstrip().endswith(")")  # the remedy
    assert sums(visit) == before
    assert not list(tmp_path.glob("*.txt"))


def test_older_files_stay_unless_asked_for(visit: SkyVisit, tmp_path: Path) -> None:
    (tmp_path / "shifts.txt").write_text("mine\n")
    assert tweak(visit, tmp_path, "--refcat", visit.extract).exit_code == 1
    assert (tmp_path / "shifts.txt").read_text() == "mine\n"


def test_exclusions_leave_sources_out(visit: SkyVisit, tmp_path: Path) -> None:
    (tmp_path / "right.reg").write_text("image\n-box(900,256,400,600,0)\n")
    (tmp_path / "ex.lis").write_text(f"{visit.files[0].name} right.reg None\n")
    done = tweak(
        visit, tmp_path / "out", "--refcat", visit.extract, "--set", f"images.exclusions={tmp_path}/ex.lis"
    )
    assert done.exit_code == 0, done.stderr
    root = visit.files[0].name.removesuffix(".fits")
    first = np.loadtxt(tmp_path / "out" / f"{root}_sci1_xy_catalog.coo")
    second = np.loadtxt(tmp_path / "out" / f"{root}_sci2_xy_catalog.coo")
    assert first[:, 0].max() < 701
    assert second[:, 0].max() > 800


def test_parameters_are_shown_and_read_back(tmp_path: Path) -> None:
    shown = run_here(("tweak", "--show-config", "--set", "match.searchrad=2.5", "--refcat", "GAIADR3"))
    assert shown.exit_code == 0
    (tmp_path / "t.toml").write_text(shown.stdout)
    again = run_here(("tweak", "--show-config", "--config", tmp_path / "t.toml", "--json")).json()[
        "parameters"
    ]
    assert again["match"]["searchrad"] == 2.5
    assert again["reference"]["refcat"] == "GAIADR3"
    assert max(map(len, shown.stdout.splitlines())) <= 100


def test_the_form_has_a_row_for_every_parameter(tmp_path: Path) -> None:
    import asyncio

    form = ParameterForm(TWEAK, TweakParameters(), tmp_path / "tweak.toml")

    async def drive() -> None:
        async with form.run_test(size=(110, 40)) as pilot:
            await pilot.pause()
            assert form.title == "hapctl tweak"
            assert {row.id for row in form.rows()} == {row_id(one) for one in TWEAK.all}
            form.query_one("#header-wcsname Input").value = "MINE"
            await pilot.press("ctrl+s", "ctrl+q")

    asyncio.run(drive())
    assert 'wcsname = "MINE"' in (tmp_path / "tweak.toml").read_text()


def test_images_without_reference_stars_are_tied_through_others(tmp_path: Path) -> None:
    gaia = data_file("hrc_47tuc/gaia_dr3_47tuc_core.ecsv")
    files = sorted(gaia.parent.glob("*_flt.fits"))
    done = run_here(("tweak", *files, "--refcat", gaia, "--output-dir", tmp_path,
                     "--updatehdr", "--json", *QUIET))  # fmt: skip
    assert done.exit_code == 0, done.stderr
    images = done.json()["images"]
    assert [one["outcome"] for one in images] == ["accepted"] * 4
    assert all(one["predicted_error_mas"] < 3.0 for one in images)
    tied = [one for one in images if one["frame"].startswith("other images that are tied to")]
    assert len(tied) >= 2  # the deep frames see hardly a star of Gaia that is not saturated
    assert all(one["nmatches"] > 100 and one["weighted_rms_ra_mas"] < 10.0 for one in images if one in tied)
    assert {primary(tmp_path / path.name).name for path in files} == {"TWEAK"}
