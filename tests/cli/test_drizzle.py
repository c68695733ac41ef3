"""`hapctl drizzle` as a user meets it: products, single steps, refusals, interruptions."""

import hashlib
import json
import os
import resource
import shlex
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits
from hapctl.cli.help import TOPICS
from hapctl.cli.main import command_for
from hapctl.cli.progress import BarProgress, LineProgress
from hapctl.processing.imaging.grid import OutputGrid
from hapctl.processing.imaging.parameters import DRIZZLE, DrizzleParameters
from hapctl.processing.parameter_file import changed, parse_parameters, parse_setting, read_parameter_file
from rich.progress import Progress
from support.commands import Result, run_here
from support.data import data_file
from support.drizzle_visit import write_member, write_visit

PROGRAM = "from hapctl.cli.main import main; main()"
FINAL_ONLY = ("--set", "cosmic_rays.enabled=false", "--set", "static_mask.enabled=false")


@pytest.fixture(scope="module")
def visit(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Three exposures that no test changes."""
    return write_visit(tmp_path_factory.mktemp("visit"))


@pytest.fixture(autouse=True)
def _no_database_no_socket(clean_environment: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a home, a catalog, a network, in a working folder of its own."""

    def refuse(*arguments: object, **more: object) -> None:
        raise AssertionError("a socket was opened")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setenv("HAPCTL_HOME", str(tmp_path / "home"))
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")


def drizzle(*arguments: object) -> Result:
    return run_here(("drizzle", *arguments))


def report(*arguments: object) -> Any:
    done = drizzle(*arguments, "--json")
    assert done.exit_code == 0, done.stderr
    return done.json()


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def files(folder: str = ".") -> list[str]:
    return sorted(path.name for path in Path(folder).iterdir())


def test_a_product_is_made_without_catalog_and_inputs_stay_as_they_are(
    visit: list[Path], tmp_path: Path
) -> None:
    before = {path: sha256(path) for path in visit}
    made = report(*visit, "-o", "m31", "--threads", 2)
    assert {path: sha256(path) for path in visit} == before
    assert files() == ["m31.fits", "m31.png"]
    assert not (tmp_path / "home").exists()
    assert (made["status"], made["files"], made["preview"]) == ("made", ["m31.fits"], "m31.png")
    with fits.open("m31.fits", checksum=True) as hdus:
        assert [hdu.name for hdu in hdus] == ["PRIMARY", "SCI", "WHT", "CTX", "VAR", "HDRTAB"]
        header, sci = hdus["SCI"].header, hdus["SCI"].data
        assert (header["NAXIS1"], header["NAXIS2"]) == (made["grid"]["nx"], made["grid"]["ny"])
        assert [header["CRPIX1"], header["CRPIX2"]] == made["grid"]["crpix"]
        nothing = hdus["WHT"].data == 0
        assert nothing.any()
        assert np.array_equal(np.isnan(sci), nothing)
        assert np.array_equal(hdus["CTX"].data == 0, nothing)
        assert np.array_equal(np.isnan(hdus["VAR"].data), nothing)
        assert hdus[0].header["NDRIZIM"] == 6
        assert list(hdus["HDRTAB"].data["FILENAME"][::2]) == [path.name for path in visit]
        several = np.bitwise_count(hdus["CTX"].data) > 1
        assert (
            np.nanmax(sci) > 20.0
        )  # cosmic rays have 25 electrons per second: there one exposure sees alone
        assert sci[several].max() < 10.0
    chips = [chip for one in made["inputs"] for chip in one["chips"]]
    assert [chip["context_bit"] for chip in chips] == list(range(6))
    assert all(0.001 < chip["flagged_fraction"] < 0.05 for chip in chips)
    assert {"sky", "separate", "median", "blot", "cosmic_rays", "final", "write"} <= set(made["profile"])
    assert made["seconds"] > 0
    assert made["peak_memory_bytes"] > 10_000_000
    assert len(made["pixels_sha256"]) == 64


def test_pixels_do_not_depend_on_threads_nor_on_how_they_are_spread_on_files(visit: list[Path]) -> None:
    one = report(*visit, "-o", "one", "--threads", 1, "--no-preview", "--set", "final.error=true")
    many = report(*visit, "-o", "many.fits", "--threads", 3, "--separate-files", "--set", "final.error=true")
    names = ["many_sci.fits", "many_wht.fits", "many_ctx.fits", "many_var.fits", "many_err.fits"]
    assert many["files"] == names
    assert files() == sorted([*names, "many_sci.png", "one.fits"])
    assert one["pixels_sha256"] == many["pixels_sha256"]
    with fits.open("one.fits") as whole:
        for name in ("SCI", "WHT", "CTX", "VAR", "ERR"):
            lone = fits.getdata(f"many_{name.lower()}.fits")
            assert np.array_equal(whole[name].data, lone, equal_nan=True)


def test_a_plan_is_shown_and_nothing_written(visit: list[Path]) -> None:
    done = drizzle(*visit, "-o", "m31", "--dry-run")
    assert done.exit_code == 0
    assert "to make    m31.fits" in done.stdout
    assert "MB of memory" in done.stdout
    plan = report(*visit, "-o", "m31", "--dry-run")
    assert plan["status"] == "to make"
    assert len(plan["inputs"]) == 3
    assert plan["disk_bytes"] > 4 * 4 * plan["grid"]["nx"] * plan["grid"]["ny"]
    assert files() == []
    made = report(*visit, "-o", "m31", "--no-preview", *FINAL_ONLY)
    assert Path("m31.fits").stat().st_size == plan["disk_bytes"]
    assert made["grid"] == plan["grid"]


def test_people_are_told_what_was_made(visit: list[Path]) -> None:
    done = drizzle(*visit, "-o", "m31")
    assert done.exit_code == 0
    lines = done.stdout.splitlines()
    assert lines[:2] == ["made       m31.fits", "made       m31.png"]
    assert "north up" in lines[2]
    assert f"{visit[0].name}  120.0 s, sky" in lines[3]
    assert "processor seconds by step" in lines[-1]


def test_an_older_product_is_replaced_only_if_asked_for_and_an_input_never(visit: list[Path]) -> None:
    assert drizzle(visit[0], "-o", "m31", *FINAL_ONLY).exit_code == 0
    before = sha256(Path("m31.fits"))
    done = drizzle(*visit, "-o", "m31", *FINAL_ONLY, "--json")
    assert done.exit_code == 1
    assert "m31.fits is there already" in done.json()["error"]["message"]
    assert sha256(Path("m31.fits")) == before
    assert drizzle(*visit, "-o", "m31", *FINAL_ONLY, "--overwrite").exit_code == 0
    assert sha256(Path("m31.fits")) != before
    done = drizzle(*visit, "-o", visit[0], "--overwrite")
    assert done.exit_code == 1
    assert "is an input" in done.stderr


def test_intermediate_products_are_kept_if_asked_for(visit: list[Path]) -> None:
    made = report(*visit, "-o", "m31", "--no-preview", "--keep", "parts")
    roots = [path.name.removesuffix(".fits") for path in visit]
    expected = ["depth.fits", "median.fits", "skies.txt"]
    for root in roots:
        expected += [f"{root}_{kind}.fits" for kind in ("single_sci", "single_wht", "static_mask")]
        expected += [f"{root}_{kind}.fits" for kind in ("crmask", "untested", "sci1_blt", "sci2_blt")]
    assert files("parts") == sorted(expected)
    assert made["kept"] == [f"parts/{name}" for name in sorted(expected)]
    (group,) = made["comparisons"]
    grid = group["grid"]
    with fits.open("parts/median.fits") as hdus:
        assert hdus[0].data.shape == (grid["ny"], grid["nx"])
        assert hdus[0].header["CRPIX1"] == grid["crpix"][0]
        assert np.isfinite(hdus[0].data).any()
    assert fits.getdata("parts/depth.fits").max() == 3
    flagged = [chip["flagged_fraction"] for chip in made["inputs"][0]["chips"]]
    with fits.open(f"parts/{roots[0]}_crmask.fits") as hdus:
        found = [float((hdus["MASK", ver].data != 0).mean()) for ver in (1, 2)]
    assert found == pytest.approx(flagged)
    assert report(*visit, "-o", "again", "--no-preview")["pixels_sha256"] == made["pixels_sha256"]
    given = report(*visit, "-o", "given", "--no-preview", "--set", "sky.file=parts/skies.txt")
    skies = [chip["sky_electrons"] for one in made["inputs"] for chip in one["chips"]]
    again = [chip["sky_electrons"] for one in given["inputs"] for chip in one["chips"]]
    assert again == pytest.approx(skies)
    refused = drizzle(*visit, "-o", "more", "--keep", "parts")
    assert (refused.exit_code, "is not empty" in refused.stderr) == (1, True)


@pytest.mark.parametrize(
    ("disabled", "made"),
    [
        (("separate", "cosmic_rays"), {"static_mask", "skies.txt"}),
        (("static_mask", "median", "cosmic_rays"), {"single_sci", "single_wht", "skies.txt"}),
        (
            ("static_mask", "blot", "cosmic_rays"),
            {"single_sci", "single_wht", "median.fits", "depth.fits", "skies.txt"},
        ),
    ],
)
def test_a_step_runs_alone(visit: list[Path], disabled: tuple[str, ...], made: set[str]) -> None:
    off = [word for step in ("final", *disabled) for word in ("--set", f"{step}.enabled=false")]
    on = [
        word
        for step in ("static_mask",)
        for word in ("--set", f"{step}.enabled=true")
        if step not in disabled
    ]
    done = report(*visit, "--keep", "parts", *on, *off)
    assert (done["files"], done["grid"]) == ([], None)
    kinds = {
        name.split("_flc_")[-1].removesuffix(".fits") if "_flc_" in name else name for name in files("parts")
    }
    assert kinds == made
    assert files() == ["parts"]


def test_the_table_of_pixels_is_true(tmp_path: Path) -> None:
    path = write_member(tmp_path, 0)
    state = {
        "nan": (20, 40),
        "inf": (20, 60),
        "flagged": (20, 80),
        "accepted": (20, 90),
        "no error": (20, 70),
    }
    with fits.open(path, mode="update") as hdus:
        hdus["SCI", 1].data[state["nan"]] = np.nan
        hdus["SCI", 1].data[state["inf"]] = -np.inf
        hdus["DQ", 1].data[state["flagged"]] = 8
        hdus["DQ", 1].data[state["accepted"]] = 16
        hdus["ERR", 1].data[state["no error"]] = 0.0
    options = (*FINAL_ONLY, "--set", "final.bits=16", "--set", "final.kernel=point", "--no-preview")
    native = ("--set", "final.rotation=33", "--set", "sky.enabled=false")
    report(path, "-o", "out", *options, *native)
    report(path, "-o", "all", *options, *native, "--set", "final.bits=none")
    report(path, "-o", "filled", *options, *native, "--set", "final.fill_value=-1")
    report(path, "-o", "weighted", *options, *native, "--set", "final.weight=ERR")

    def contributing(name: str) -> float:
        """The sum of weights in units of one pixel: by the point kernel each gives to one output pixel."""
        weight = fits.getdata(f"{name}.fits", "WHT")
        return float(weight.sum(dtype=np.float64) / weight[weight > 0].min())

    pixels = 2 * np.prod(fits.getdata(path, ("SCI", 1)).shape)
    with fits.open("out.fits") as hdus:
        nothing = hdus["WHT"].data == 0
        assert np.isnan(hdus["SCI"].data[nothing]).all()
        assert np.isnan(hdus["VAR"].data[nothing]).all()
        assert (hdus["CTX"].data[nothing] == 0).all()
        assert np.isfinite(hdus["SCI"].data[~nothing]).all()
        assert (hdus["VAR"].data[~nothing] > 0).all()
        assert (hdus["CTX"].data[~nothing] > 0).all()
    assert contributing("out") == pytest.approx(pixels - 3, rel=1e-6)
    assert contributing("all") == pytest.approx(pixels - 2, rel=1e-6)
    assert contributing("weighted") == pytest.approx(pixels - 4, rel=1e-6)
    filled = fits.getdata("filled.fits", "SCI")
    assert (filled[nothing] == -1).all()
    assert np.array_equal(filled[~nothing], fits.getdata("out.fits", "SCI")[~nothing])


def test_weight_maps_of_a_list_are_used(visit: list[Path]) -> None:
    with fits.open(visit[0]) as hdus:
        shape = hdus["SCI", 1].data.shape
    for name, factor in (("even", 1), ("uneven", 2)):
        maps = [fits.ImageHDU(np.full(shape, 0.25 * value, "f4"), name="IVM") for value in (1, factor)]
        maps[1].ver = 2
        fits.HDUList([fits.PrimaryHDU(), *maps]).writeto(f"{name}_ivm.fits")
        Path("visit.lis").write_text(f"{visit[0]} {name}_ivm.fits  # mine\n")
        report("@visit.lis", "-o", name, "--set", "final.weight=IVM", *FINAL_ONLY)
    with fits.open("even.fits") as even, fits.open("uneven.fits") as uneven:
        context, ratio = (
            even["CTX"].data,
            uneven["WHT"].data / np.where(even["WHT"].data, even["WHT"].data, 1),
        )
    assert np.allclose(ratio[context == 1], 1.0, rtol=1e-5)
    assert np.allclose(ratio[context == 2], 2.0, rtol=1e-5)
    assert (context == 2).any()
    unused = drizzle("@visit.lis", "-o", "exp", *FINAL_ONLY)
    assert "weight maps are not used: final.weight is EXP" in unused.stderr


def test_one_exposure_has_nothing_to_be_compared_with(visit: list[Path]) -> None:
    made = report(visit[0], "-o", "out", "--set", "cosmic_rays.enabled=true")
    assert made["comparisons"] == []
    assert any("nothing to find cosmic rays by" in note for note in made["notes"])


def test_several_detectors_and_filters_go_into_one_image_and_are_compared_within_each(
    visit: list[Path], tmp_path: Path
) -> None:
    others = [write_member(tmp_path, number, FILTER1="F814W") for number in (3, 4)]
    lone = write_member(tmp_path, 7, DETECTOR="HRC")
    Path("plain.toml").write_text(drizzle("--show-config").stdout)
    rays = ("--config", "plain.toml")
    made = report(*visit, *others, lone, "-o", "all", "--keep", "parts", *rays, "--no-preview")
    header = fits.getheader("all.fits")
    assert (header["DETECTOR"], header["FILTER"]) == ("WFC;HRC", "F606W;F814W")
    assert "exposures of several detectors: the defaults are those of no detector" in made["notes"]
    assert "HRC F606W: one exposure: nothing to find cosmic rays by" in made["notes"]
    assert [(one["label"], one["members"]) for one in made["comparisons"]] == [
        ("wfc_f606w", [0, 1, 2]),
        ("wfc_f814w", [3, 4]),
        ("hrc_f606w", [5]),
    ]
    assert {"median_wfc_f606w.fits", "depth_wfc_f814w.fits"} <= set(files("parts"))
    masks = fits.getdata("parts/jdrz01a4q_flc_crmask.fits", ("MASK", 1))
    pair = report(*others, "-o", "pair", "--no-preview", *rays)
    flagged = pair["inputs"][1]["chips"][0]["flagged_fraction"]
    assert float((masks != 0).mean()) == pytest.approx(flagged)


def test_what_does_nothing_is_told(visit: list[Path]) -> None:
    weighted = ("--set", "final.weight=ERR", "--set", "final.weight_scale=number")
    made = report(*visit, "-o", "out", "--dry-run", *weighted)
    assert "final.weight_scale is one of EXP weights: ERR weights have none" in made["notes"]
    sums = report(
        *visit, "-o", "out", "--dry-run", "--set", "median.type=sum", "--set", "cosmic_rays.enabled=true"
    )
    assert any("a sum is no image to compare with" in note for note in sums["notes"])
    steps = ("final", "sky", "separate", "cosmic_rays")
    off = [word for step in steps for word in ("--set", f"{step}.enabled=false")]
    kept = report(*visit, "--keep", "parts", *off, "--set", "static_mask.enabled=true")
    assert any("median needs separate, which is disabled" in note for note in kept["notes"])
    assert {name.split("_flc_")[-1] for name in files("parts")} == {"static_mask.fits"}


def test_a_grid_is_taken_from_a_product(visit: list[Path]) -> None:
    first = report(visit[0], "-o", "first", "--set", "final.rotation=20", "--no-preview", *FINAL_ONLY)
    second = report(*visit, "-o", "second", "--set", "final.reference=first.fits[SCI,1]", *FINAL_ONLY)
    assert second["grid"] == first["grid"]
    away = ("--set", "final.ra=10", "--set", "final.dec=-60", "--set", "final.shape=100 100")
    done = drizzle(*visit, "-o", "away", *away, "--json")
    assert done.exit_code == 65
    assert "no input touches" in done.json()["error"]["message"]


def test_left_out_exposures_are_told_with_the_reason(visit: list[Path], tmp_path: Path) -> None:
    write_member(tmp_path, 8, EXPTIME=0.0)
    made = report(visit[0], tmp_path / "*a8q*", "-o", "out", *FINAL_ONLY)
    assert [one["reason"] for one in made["left_out"]] == ["exposure time 0"]
    done = drizzle(tmp_path / "*a8q*", "-o", "none")
    assert (done.exit_code, "left to work on" in done.stderr) == (65, True)


def test_moving_and_fixed_targets_are_not_mixed(visit: list[Path], tmp_path: Path) -> None:
    moving = write_member(tmp_path, 5, MTFLAG="T")
    done = drizzle(visit[0], moving, "-o", "out", "--json")
    assert done.exit_code == 1
    assert "follows a moving target" in done.json()["error"]["message"]


def broken(folder: Path) -> None:
    """Files that can't be drizzled, each for a reason of its own."""
    path = write_member(folder, 0)
    whole = path.read_bytes()
    (folder / "cut_flc.fits").write_bytes(whole[: len(whole) // 2])
    (folder / "text_flc.fits").write_text("no FITS" * 999)
    for name, kind in (("masked", "DQ"), ("plain", "ERR")):
        with fits.open(path) as hdus:
            for ver in (1, 2):
                if kind == "DQ":
                    hdus["DQ", ver].data[:] = 4
                else:
                    del hdus["ERR", ver]
            hdus.writeto(folder / f"{name}_flc.fits")
    (folder / "empty.lis").write_text("# nothing\n")
    (folder / "bad.toml").write_text("[final]\npixfrak = 1\n")
    for name, keyword, value in (("scale", "IDCSCALE", None), ("nan", "CRVAL1", None)):
        (folder / f"{name}_flc.fits").write_bytes(whole)
        with fits.open(folder / f"{name}_flc.fits", mode="update") as hdus:
            for ver in (1, 2):
                if value is None:
                    del hdus["SCI", ver].header[keyword]


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        ("", 2, "no input files"),
        ("none.fits -o x", 3, "none.fits: no such file"),
        ("*_none.fits -o x", 3, "no such file"),
        ("@empty.lis -o x", 2, "names no files"),
        ("text_flc.fits -o x", 1, "text_flc.fits: not a FITS file"),
        ("cut_flc.fits -o x", 1, "cut_flc.fits: truncated"),
        ("scale_flc.fits -o x", 1, "scale_flc.fits: SCI,1 has no IDCSCALE"),
        ("nan_flc.fits -o x", 1, "nan_flc.fits"),
        ("jdrz01a0q_flc.fits", 2, "no name for the product"),
        ("jdrz01a0q_flc.fits --set final.enabled=false", 2, "nothing would be written"),
        ("jdrz01a0q_flc.fits -o x --set final.enabled=false", 2, "without a final image"),
        ("jdrz01a0q_flc.fits -o none/x", 1, "the folder .*none is not there"),
        ("jdrz01a0q_flc.fits -o x --set final.pixfrak=1", 2, "final.pixfrak"),
        ("jdrz01a0q_flc.fits -o x --set final.ra=1", 2, "final.ra without final.dec"),
        ("jdrz01a0q_flc.fits -o x --config bad.toml", 2, "bad.toml, line 2"),
        ("jdrz01a0q_flc.fits -o x --config none.toml", 2, "none.toml can't be read"),
        ("jdrz01a0q_flc.fits -o x --import-cfg none.cfg", 2, "none.cfg can't be read"),
        ("jdrz01a0q_flc.fits -o x --mdriztab none.fits", 1, "none.fits"),
        ("--mdriztab none.fits --show-config", 2, "--mdriztab without input files"),
        ("jdrz01a0q_flc.fits -o x --set final.reference=none.fits", 3, "reference none.fits"),
        ("jdrz01a0q_flc.fits -o x --set final.reference=jdrz01a0q_flc.fits[1]", 1, "has distortion"),
        ("jdrz01a0q_flc.fits -o x --max-memory 1MB", 5, "MB of memory"),
        ("jdrz01a0q_flc.fits -o x --max-memory much", 2, "option --max-memory"),
        ("masked_flc.fits -o x --set final.bits=0", 65, "no pixel of the inputs contributes"),
        (
            "masked_flc.fits -o x --set final.bits=0 --separate-files",
            65,
            "no pixel of the inputs contributes",
        ),
        ("plain_flc.fits -o x --set final.weight=ERR", 1, "plain_flc.fits: SCI,1 has no ERR"),
        ("jdrz01a0q_flc.fits -o x --set final.scale=0.0001", 5, "memory|free|room"),
        ("jdrz01a0q_flc.fits jdrz01a0q_flc.fits -o x", 2, "given twice"),
        ("jdrz01a0q_flc.fits -o x --threads 0", 2, "threads"),
    ],
)
def test_refusals_are_one_line_with_a_defined_exit_code(
    tmp_path: Path, arguments: str, code: int, words: str
) -> None:
    broken(Path())
    before = files()
    done = drizzle(*arguments.split(), "--json")
    assert done.exit_code == code, done.stderr
    error = json.loads(done.stdout)["error"]
    assert error["exit_code"] == code
    with pytest.raises(AssertionError, match=words):
        raise AssertionError(error["message"])
    assert len(done.stderr.splitlines()) == 1
    assert files() == before


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_can_not_be_written_is_told(visit: list[Path]) -> None:
    Path("locked").mkdir(mode=0o555)
    done = drizzle(*visit, "-o", "locked/x")
    assert (done.exit_code, "can't be written" in done.stderr) == (1, True)


def test_a_disk_that_fills_up_leaves_nothing_behind(visit: list[Path]) -> None:
    def small_files() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))

    for keep in ((), ("--keep", "parts")):
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM, "drizzle", *visit, "-o", "x", "--json", *keep],
            capture_output=True,
            text=True,
            preexec_fn=small_files,
            check=False,
        )
        assert done.returncode == 5, done.stderr
        assert json.loads(done.stdout)["error"]["exit_code"] == 5
        assert [name for name in files() if name != "parts"] == []
        assert not Path("parts").exists() or files("parts") == []


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM], ids=["SIGKILL", "SIGTERM"])
def test_a_run_that_is_ended_leaves_no_product_and_the_next_completes(
    visit: list[Path], number: signal.Signals
) -> None:
    options = ("--set", "final.scale=0.15", *FINAL_ONLY)
    command = [sys.executable, "-c", PROGRAM, "drizzle", *visit, "-o", "x", *options]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    while process.poll() is None and not Path(".x.fits.partial").exists():
        time.sleep(0.005)
    process.send_signal(number)
    _, told = process.communicate(timeout=60)
    assert not Path("x.fits").exists()
    if number == signal.SIGTERM:
        assert (process.returncode, files()) == (130, [])
        assert told.endswith(b"hapctl: interrupted (run the same command again to go on)\n")
        assert b"Traceback" not in told
        return
    calm = report(*visit, "-o", "calm", "--no-preview", *options)
    made = report(*visit, "-o", "x", *options)
    assert made["pixels_sha256"] == calm["pixels_sha256"]
    assert files() == ["calm.fits", "x.fits", "x.png"]


def test_all_parameters_are_shown_and_taken_back(visit: list[Path]) -> None:
    done = drizzle("--show-config", "--set", "final.pixfrac=0.7")
    assert done.exit_code == 0
    Path("m31.toml").write_text(done.stdout)
    shown = changed(DrizzleParameters(), read_parameter_file(DRIZZLE, Path("m31.toml")))
    assert shown == changed(DrizzleParameters(), parse_parameters(DRIZZLE, "final.pixfrac = 0.7", ""))
    again = drizzle("--show-config", "--config", "m31.toml", "--set", "final.kernel=turbo")
    assert again.stdout == done.stdout.replace(
        'lanczos2, lanczos3, tophat\nkernel = "square"',
        'lanczos2, lanczos3, tophat; default: "square"\nkernel = "turbo"',
    )
    made = report(*visit, "-o", "x", "--config", "m31.toml", "--lookup-origin", "fits", *FINAL_ONLY)
    assert made["parameters"]["final"]["pixfrac"] == 0.7
    assert made["parameters"]["lookup_origin"] == "fits"


def test_defaults_are_those_of_the_detector_and_the_last_source_holds(visit: list[Path]) -> None:
    text = drizzle(*visit, "--show-config").stdout
    own = changed(DrizzleParameters(), parse_parameters(DRIZZLE, text, "own"))
    assert (own.final.bits, own.sky.method, own.final.variance) == (336, "match", True)
    Path("a.cfg").write_text("final_bits = 64# x\nfinal_pixfrac = 0.6# x\ndriz_cr_grow = 1# x\n")
    Path("a.toml").write_text("[final]\npixfrac = 0.7\n")
    done = drizzle(
        *visit, "--show-config", "--import-cfg", "a.cfg", "--config", "a.toml", "--set", "final.kernel=point"
    )
    final = changed(DrizzleParameters(), parse_parameters(DRIZZLE, done.stdout, "text")).final
    assert (final.bits, final.pixfrac, final.kernel) == (64, 0.7, "point")
    assert "driz_cr_grow = 1 is a square of that side: cosmic_rays.grow = 0" in done.stderr
    columns = [
        fits.Column("filter", "9A", array=["ANY", "ANY"]),
        fits.Column("numimages", "1J", array=[1, 3]),
        fits.Column("final_pixfrac", "1E", array=[0.5, 0.9]),
    ]
    fits.BinTableHDU.from_columns(columns).writeto("a_mdz.fits")
    done = drizzle(*visit, "--show-config", "--mdriztab", "a_mdz.fits")
    assert changed(DrizzleParameters(), parse_parameters(DRIZZLE, done.stdout, "text")).final.pixfrac == 0.9
    assert "row 2 of a_mdz.fits" in done.stderr
    document = drizzle("--show-config", "--import-cfg", "a.cfg", "--json").json()
    assert document["parameters"]["final"]["bits"] == 64
    assert len(document["notes"]) == 1


@pytest.mark.parametrize("topic", TOPICS)
def test_topics_are_shown_alone_and_with_the_command(topic: str) -> None:
    alone = run_here(("help", topic))
    assert alone.exit_code == 0
    assert alone.stdout.rstrip() == TOPICS[topic][1]
    assert TOPICS[topic][1] in run_here(("help", "drizzle")).stdout
    assert max(map(len, alone.stdout.splitlines())) <= 110
    assert topic in run_here(("help",)).stdout
    assert run_here(("help", "--json", topic)).json()["text"] == TOPICS[topic][1]


def test_examples_of_topics_are_understood() -> None:
    text = "\n".join(text for _, text in TOPICS.values()).replace("\\\n", " ")
    lines = [line.strip() for line in text.splitlines() if line.strip().startswith("hapctl ")]
    assert len(lines) >= 3
    for line in lines:
        _, name, *words = shlex.split(line)
        with command_for(name).make_context(name, words) as context:
            assert {parse_setting(DRIZZLE, text).parameter.name for text in context.params["settings"]}


def test_progress_is_told_by_bars_on_a_terminal_and_by_lines_elsewhere(
    capsys: pytest.CaptureFixture[str],
) -> None:
    lines = LineProgress(seconds=0.0)
    lines.progress("cosmic_rays", 1, 4)
    LineProgress(seconds=60.0).progress("final", 1, 2)
    assert capsys.readouterr().err == "hapctl: cosmic_rays 25 %\n"
    with Progress(disable=True) as bars:
        shown = BarProgress(bars)
        for done in (1, 2):
            shown.progress("cosmic_rays", done, 4)
        shown.progress("final", 1, 1)
        assert [(task.description, task.completed, task.total) for task in bars.tasks] == [
            ("cosmic rays", 2, 4),
            ("final", 1, 1),
        ]


@pytest.mark.skipif(sys.platform != "linux", reason="memory is measured on Linux")
@pytest.mark.parametrize("threads", [1, 2])
def test_the_memory_needed_is_what_was_predicted_or_less_but_not_by_far(
    visit: list[Path], threads: int
) -> None:
    options = ("-o", "out", "--json", "--threads", str(threads), "--set", "sky.method=match")
    command = [sys.executable, "-c", PROGRAM, "drizzle", *map(str, visit), *options]
    made = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    assert 0.4 < made["peak_memory_bytes"] / made["predicted_memory_bytes"] < 1.0
    whys = {chip["sky_why"] for one in made["inputs"] for chip in one["chips"]}
    assert all("cells shared, 2 exposures connected" in why for why in whys), whys


def test_the_grid_of_a_report_is_that_of_the_file(visit: list[Path]) -> None:
    made = report(*visit, "-o", "x", "--set", "final.rotation=-40", "--no-preview", *FINAL_ONLY)
    grid = made["grid"]
    assert grid["rotation_deg"] == pytest.approx(-40)
    own = OutputGrid(tuple(grid["crval"]), tuple(grid["crpix"]), tuple(grid["cd"]), (grid["ny"], grid["nx"]))
    header = fits.getheader("x.fits", "SCI")
    for name, value in own.header().items():
        assert header[name] == (pytest.approx(value, rel=1e-13) if isinstance(value, float) else value)


def test_imsets_of_one_chip_add_up_their_times() -> None:
    path = data_file("stis_m33/o4k19a010_flt.fits.gz")
    made = report(path, "-o", "out", "--no-preview", "--set", "final.units=counts")
    report(path, "-o", "rate", "--no-preview")
    with fits.open(path) as hdus:
        seconds = hdus[0].header["TEXPTIME"]
    assert fits.getheader("out.fits")["EXPTIME"] == seconds == 300.0
    assert made["statistics"]["median_exposure_time"] == seconds
    counts, rate = (fits.getdata(f"{name}.fits", "SCI") for name in ("out", "rate"))
    seen = np.isfinite(rate)
    assert np.allclose(counts[seen], seconds * rate[seen], rtol=1e-6)
