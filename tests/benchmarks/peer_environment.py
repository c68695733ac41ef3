"""drizzlepac in an environment of its own, and what a command of any kind takes.

The environment lies in ``build/drizzlepac``, or where ``HAPCTL_PEER_ENVIRONMENT`` says; it is made on first
use. AstroDrizzle runs offline, on copies of the exposures, with the parameters of `PARAMETERS`, which
`OUR_PARAMETERS` gives to ``hapctl drizzle`` in its own words.
"""

import json
import os
import re
import resource
import shutil
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

REPOSITORY = Path(__file__).resolve().parents[2]
DRIZZLEPAC = "drizzlepac==3.11.0"
OFFLINE = {"ASTROMETRY_STEP_CONTROL": "Off", "MPLBACKEND": "Agg", "OMP_NUM_THREADS": "1"}
BITS = "16,64"
PARAMETERS: dict[str, Any] = {
    "output": "final",
    "updatewcs": False,
    "preserve": False,
    "context": True,
    "build": True,
    "num_cores": 1,
    "in_memory": False,
    "clean": False,
    "resetbits": 4096,
    "runfile": "astrodrizzle.log",
    "skymethod": "localmin",
    "driz_sep_bits": BITS,
    "final_bits": BITS,
    "final_wcs": True,
    "final_rot": 0.0,
}
OUR_PARAMETERS = f"""
lookup_origin = "fits"
[static_mask]
enabled = true
[sky]
enabled = true
method = "localmin"
statistic = "median"
bits = 0
lower = "none"
[separate]
enabled = true
kernel = "turbo"
bits = "{BITS}"
scale = "none"
[median]
enabled = true
type = "minmed"
nhigh = 0
[blot]
enabled = true
[cosmic_rays]
enabled = true
snr = [3.5, 3.0]
scale = [1.2, 0.7]
[final]
kernel = "square"
bits = "{BITS}"
pixfrac = 1.0
"""
_PROGRAM = """
import json, sys
from drizzlepac.astrodrizzle import AstroDrizzle
AstroDrizzle(sys.argv[2:], **json.loads(sys.argv[1]))
"""
_STEP = re.compile(r"\]\s+([A-Z][A-Za-z_ ]+?)\s+(\d+\.\d+) sec")
_COUNTED = re.compile(r"^Rss(?:Anon|Shmem):\s+(\d+) kB", re.MULTILINE)
_PSS = re.compile(r"^Pss:\s+(\d+) kB", re.MULTILINE)
_INTERVAL_SECONDS = 0.1


def default_environment() -> Path:
    """Where the environment with drizzlepac lies, or will."""
    return Path(os.environ.get("HAPCTL_PEER_ENVIRONMENT", REPOSITORY / "build" / "drizzlepac"))


def python_with_drizzlepac(folder: Path) -> Path:
    """The interpreter of an environment that has drizzlepac; made on first use."""
    python = folder / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    name, version = DRIZZLEPAC.split("==")
    question = f"import importlib.metadata as m, sys; sys.exit(m.version('{name}') != '{version}')"
    if subprocess.run([str(python), "-c", question], capture_output=True, check=False).returncode:
        subprocess.run([str(python), "-m", "pip", "install", "--quiet", DRIZZLEPAC], check=True)
    return python


@dataclass(frozen=True)
class Taken:
    """What a command took: seconds, and bytes of memory at the peak (of its process tree) and written."""

    seconds: float
    processor_seconds: float
    peak_bytes: int
    peak_pss_bytes: int
    written_bytes: int
    output: str


def run_measured(command: list[str], folder: Path | None = None) -> Taken:
    """Run a command to its end; its output is that of standard output.

    Raises
    ------
    RuntimeError
        It failed; with the end of what it said.
    """
    used, written, began = _processor_seconds(), _written_bytes(), time.monotonic()
    pipes: dict[str, Any] = {
        "stdin": subprocess.DEVNULL,
        "stdout": subprocess.PIPE,
        "stderr": subprocess.PIPE,
    }
    with subprocess.Popen(command, cwd=folder, env=os.environ | OFFLINE, text=True, **pipes) as process:
        memory = _Memory(process.pid)
        output, said = process.communicate()
        memory.end()
    if process.returncode:
        raise RuntimeError(f"{command[:4]} ended with {process.returncode}: {said[-2000:]}")
    seconds = time.monotonic() - began
    return Taken(seconds, _processor_seconds() - used, *memory.peaks, _written_bytes() - written, output)


class _Memory:
    """Samples a process tree from a thread: RssAnon + RssShmem, and PSS."""

    def __init__(self, pid: int) -> None:
        self.peaks = (0, 0)
        self._process = psutil.Process(pid)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()

    def end(self) -> None:
        self._ended.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._ended.wait(_INTERVAL_SECONDS):
            now = self._now()
            self.peaks = max(self.peaks[0], now[0]), max(self.peaks[1], now[1])

    def _now(self) -> tuple[int, int]:
        try:
            tree = [self._process, *self._process.children(recursive=True)]
        except psutil.Error:
            return 0, 0
        own = sum(_kilobytes(f"/proc/{one.pid}/status", _COUNTED) for one in tree)
        shared = sum(_kilobytes(f"/proc/{one.pid}/smaps_rollup", _PSS) for one in tree)
        return own * 1024, shared * 1024


def _kilobytes(path: str, pattern: re.Pattern[str]) -> int:
    try:
        return sum(map(int, pattern.findall(Path(path).read_text())))
    except OSError:
        return 0


def _processor_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _written_bytes() -> int:
    """Bytes written so far, with those of children that have ended."""
    lines = dict(line.split(": ") for line in Path("/proc/self/io").read_text().splitlines())
    return int(lines["wchar"])


def astrodrizzle(
    python: Path, files: list[Path], folder: Path, **parameters: Any
) -> tuple[Taken, dict[str, float]]:
    """Run AstroDrizzle on copies of files (and of the reference files beside them) in a new folder.

    Returns
    -------
    Taken
        Of the process, with its imports.
    dict
        Seconds of each step and in all (``Total``, without imports), by its own log.
    """
    folder.mkdir(parents=True)
    beside = [path for kind in ("idc", "npl", "d2i") for path in files[0].parent.glob(f"*_{kind}.fits")]
    for path in [*files, *beside]:
        copy = shutil.copy(path, folder)
        os.chmod(copy, 0o644)
    for path in files:
        _tell_that_there_are_no_tables(folder / path.name)
    options = json.dumps(PARAMETERS | parameters)
    command = [str(python), "-W", "ignore", "-c", _PROGRAM, options, *(path.name for path in files)]
    taken = run_measured(command, folder)
    log = (folder / PARAMETERS["runfile"]).read_text()
    return taken, {name.strip(): float(seconds) for name, seconds in _STEP.findall(log)}


def _tell_that_there_are_no_tables(path: Path) -> None:
    """AstroDrizzle asks on the terminal about ACS files that name no NPOLFILE."""
    from astropy.io import fits

    with fits.open(path, mode="update") as hdus:
        for keyword in ("DGEOFILE", "NPOLFILE"):
            hdus[0].header.setdefault(keyword, "N/A")


def hapctl_drizzle(files: list[Path], folder: Path, *options: str) -> tuple[Taken, dict[str, Any]]:
    """Run ``hapctl drizzle`` on files with `OUR_PARAMETERS`; its JSON document comes with it."""
    folder.mkdir(parents=True, exist_ok=True)
    config = folder / "parameters.toml"
    config.write_text(OUR_PARAMETERS)
    program = [sys.executable, "-c", "from hapctl.cli.main import main; main()", "drizzle"]
    fixed = ["--config", str(config), "--overwrite", "--no-preview", "--json"]
    taken = run_measured([*program, *map(str, files), *fixed, *options])
    return taken, json.loads(taken.output)
