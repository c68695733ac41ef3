"""`hapctl demo`: the whole main job on a simulated visit, by commands that a user can repeat."""

import json
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from hapctl.cli.output import json_option, print_json, say
from hapctl.processing.errors import ProcessingError

if TYPE_CHECKING:
    from hapctl.processing.pipeline.judge_alignment import JudgedExposure
    from rich.console import Console

SIMULATION = ("--seed", "16", "--small")
VISIT = "jhap01"
LIMIT_MAS = 1.0


class StepFailedError(ProcessingError):
    """A command of the demo ended otherwise than it should; the demo ends with its exit code."""

    def __init__(self, command: str, message: str, exit_code: int) -> None:
        super().__init__(f"{command}: {message}", "delete the demo's folder and run it again")
        self.exit_code = exit_code


@dataclass
class Demonstration:
    """The demo under way: where it works, who reads along, and what the report will say."""

    folder: Path
    console: "Console"
    steps: list[dict[str, Any]] = field(default_factory=list)

    @property
    def home(self) -> Path:
        """HAPCTL_HOME of the demo."""
        return self.folder / "home"

    @property
    def visit(self) -> Path:
        """Folder of the simulated files."""
        return self.folder / "visit"

    def run(self, title: str, *arguments: str, accepted: tuple[int, ...] = (0,), shown: str = "") -> Any:
        """Run a hapctl command in a process of its own; return its JSON document."""
        command = shown or shlex.join(arguments)
        with self.step(title, f"hapctl --home {self.home} {command}"):
            done = _hapctl(self.home, *arguments)
            document = json.loads(done.stdout) if done.stdout.strip() else {}
            if done.returncode not in accepted:
                raise StepFailedError(f"hapctl {command}", _complaint(done, document), abs(done.returncode))
        return document

    @contextmanager
    def step(self, title: str, shown: str) -> Iterator[None]:
        """Show a step, and note how long it took."""
        number = len(self.steps) + 1
        indented = shown.replace("\n", "\n     ")
        self.console.print(f"\n[bold]{number}. {title}[/bold]\n   [dim]$ {indented}[/dim]", soft_wrap=True)
        begun = time.monotonic()
        yield
        seconds = round(time.monotonic() - begun, 2)
        self.steps.append({"title": title, "command": shown, "seconds": seconds})

    def say(self, text: str) -> None:
        """Add a line of result to a step."""
        self.console.print(f"   {text}", soft_wrap=True)


@click.command()
@click.option(
    "--output",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("demo-output"),
    show_default=True,
    help="Folder of everything the demo makes.",
)
@json_option
@click.pass_context
def demo(ctx: click.Context, output: Path, as_json: bool) -> int:
    """Run the whole main job on a simulated visit.

    Two exposures in each of two filters are simulated with a wrong pointing, ingested, aligned to a Gaia-like
    extract, and made into the products of the visit and of a sky tile, with colour pictures. An exposure is
    withdrawn and taken into use again: each time the catalog knows which products are stale, and only those
    are made again, in the end bit for bit as they were. The catalog is asked three questions, and the
    alignment is compared with the truth. Every step is a hapctl command that is shown. The demo has a catalog
    of its own; running it again finds everything current, and leaves the withdrawal out.

    \b
    hapctl demo
    hapctl demo --output /tmp/hapctl-demo --json
    """
    from rich.console import Console

    demonstration = Demonstration(output, Console(quiet=as_json, highlight=False))
    begun = time.monotonic()
    try:
        report = _perform(demonstration, ctx)
    finally:
        stopped = _hapctl(demonstration.home, "db", "stop")
    report["server_stopped"] = stopped.returncode == 0
    report["passed"] = report["worst_rms_mas"] < LIMIT_MAS
    report["seconds"] = round(time.monotonic() - begun, 1)
    if as_json:
        print_json(report)
    else:
        _show_end(demonstration, report)
    if not report["passed"]:
        worst = report["worst_rms_mas"]
        say(f"hapctl: the alignment is {worst:.2f} mas from the truth, not below {LIMIT_MAS:g} mas")
    return 0 if report["passed"] else 1


def _perform(demonstration: Demonstration, ctx: click.Context) -> dict[str, Any]:
    covers = _simulate(demonstration)
    _ingest(demonstration)
    _load(demonstration, covers)
    _align(demonstration)
    products, pictures = _mosaic(demonstration, covers)
    new = any(product["status"] == "made" for product in products)
    cycle = _change(demonstration, products) if new else None
    questions = [_ask(demonstration, name) for name in _questions()]
    judged = _judge(demonstration, ctx)
    return {
        "output": str(demonstration.folder),
        "visit": VISIT,
        "steps": demonstration.steps,
        "products": products,
        "pictures": pictures,
        "cycle": cycle,
        "questions": questions,
        "alignment": [_error(exposure) for exposure in judged],
        "worst_rms_mas": max(exposure.in_force.rms_mas for exposure in judged),
        "limit_mas": LIMIT_MAS,
    }


def _simulate(demonstration: Demonstration) -> str:
    """Return what the Gaia-like extract covers."""
    title = "Simulate a visit: ACS/WFC, F606W and F814W, two exposures each"
    made = demonstration.run(title, "simulate", str(demonstration.visit), *SIMULATION)
    demonstration.say(f"{len(made['files'])} files, of chips a quarter as large as the real ones")
    demonstration.say("their headers are off by up to 1 arcsec and 0.05 degree; the truth lies beside them")
    return str(made["covers"])


def _ingest(demonstration: Demonstration) -> None:
    document = demonstration.run("Ingest the files", "ingest", str(demonstration.visit / "*_fl?.fits"))
    counts: dict[str, int] = {}
    for entry in document["files"]:
        counts[entry["status"]] = counts.get(entry["status"], 0) + 1
    demonstration.say(", ".join(f"{number} {status}" for status, number in counts.items()))


def _load(demonstration: Demonstration, covers: str) -> None:
    extract = str(demonstration.visit / "gaia_extract.ecsv")
    what = ("gaia", "load", extract, "--release", "DR3", "--covers", covers)
    loaded = demonstration.run("Load the Gaia-like extract, in place of a query to the archive", *what)
    demonstration.say(f"{loaded['rows']} sources")


def _align(demonstration: Demonstration) -> None:
    """Exit code 1 of a repeated alignment says that nothing changed."""
    document = demonstration.run("Align it to Gaia", "align", "--visit", VISIT, "--offline", accepted=(0, 1))
    for visit in document["visits"]:
        demonstration.say(f"{visit['outcome']}: {visit['reason']}")


def _mosaic(demonstration: Demonstration, covers: str) -> tuple[list[dict[str, Any]], list[str]]:
    """Return the products, and the paths of the pictures that show them best."""
    products = f"{demonstration.folder / 'products'}"
    made = demonstration.run(
        "Make the products of the visit", "mosaic", "--visit", VISIT, "--output", products
    )
    _say_products(demonstration, made["products"])
    _, ra, dec, _ = covers.split()
    found = demonstration.run("Find the sky tile it lies on", "tile", "find", ra, dec)
    tile = found["tiles"][0]["name"]
    demonstration.say(tile)
    layers = demonstration.run("Make the layers of the tile", "mosaic", "--tile", tile, "--output", products)
    _say_products(demonstration, layers["products"])
    for picture in layers["pictures"]:
        demonstration.say(f"{picture['status']:8} colour    {Path(picture['path']).name}")
    found = [*made["products"], *layers["products"]]
    totals = [product["preview"] for product in found if product["kind"] == "total"]
    return found, [*totals, *(picture["path"] for picture in layers["pictures"])]


def _change(demonstration: Demonstration, products: list[dict[str, Any]]) -> dict[str, Any]:
    """Withdraw an exposure and restore it; return what was stale, made again, and the same in the end."""
    rootname = max(rootname for product in products for rootname in product["exposures"])
    withdraw = ("exposure", "withdraw", rootname, "a satellite crossed it")
    demonstration.run("Take an exposure out of use", *withdraw, accepted=(0, 1))
    stale = ("mosaic", "--stale", "--all")
    plan = demonstration.run("Ask what that makes stale, and why", *stale, "--dry-run")
    _say_reasons(demonstration, plan)
    without = demonstration.run("Make that again, and only that", *stale)
    _say_products(demonstration, _remade(without))
    demonstration.run("Take the exposure into use again", "exposure", "restore", rootname)
    restored = demonstration.run("Make again what is stale now", *stale)
    _say_products(demonstration, _remade(restored))
    left = demonstration.run("Ask once more", *stale)
    if not left["targets"]:
        demonstration.say("nothing is stale")
    before = {product["path"]: product["pixels_sha256"] for product in products}
    now = {product["path"]: product["pixels_sha256"] for product in _remade(restored)}
    same = [path for path in now if now[path] == before.get(path)]
    demonstration.say(f"{len(same)} of {len(now)} products have the pixels they had at first, bit for bit")
    return {
        "exposure": rootname,
        "stale": [product["name"] for product in _remade(plan)],
        "made_without": [product["name"] for product in _remade(without) if product["status"] == "made"],
        "made_again": [product["name"] for product in _remade(restored) if product["status"] == "made"],
        "left": len(left["targets"]),
        "same_pixels": len(same),
    }


def _remade(document: dict[str, Any]) -> list[dict[str, Any]]:
    return [product for target in document["targets"] for product in target["products"]]


def _say_reasons(demonstration: Demonstration, plan: dict[str, Any]) -> None:
    for product in _remade(plan):
        reasons = "; ".join(product["why"])
        demonstration.say(
            f"{product['status']:9} {product['kind']:9} {Path(product['path']).name}: {reasons}"
        )


def _say_products(demonstration: Demonstration, products: list[dict[str, Any]]) -> None:
    for product in products:
        demonstration.say(f"{product['status']:8} {product['kind']:9} {Path(product['path']).name}")


def _questions() -> list[str]:
    from hapctl.sql import list_sql

    return list_sql("demo")


def _ask(demonstration: Demonstration, name: str) -> dict[str, Any]:
    """Ask a question of sql/demo; its first line says it in words."""
    from hapctl.sql import read_sql

    words, _, statement = read_sql(f"demo/{name}").partition("\n")
    question = words.removeprefix("--").strip()
    statement = statement.strip()
    rows = demonstration.run(question, "sql", "-c", statement, shown=f'sql -c "{statement}"')
    _show_rows(demonstration, rows)
    return {"question": question, "sql": statement, "rows": rows}


def _show_rows(demonstration: Demonstration, rows: list[dict[str, Any]]) -> None:
    from rich.box import SIMPLE
    from rich.table import Table

    table = Table(*(rows[0] if rows else ["no rows"]), box=SIMPLE)
    for row in rows:
        table.add_row(*("" if value is None else str(value) for value in row.values()))
    demonstration.console.print(table)


def _judge(demonstration: Demonstration, ctx: click.Context) -> "list[JudgedExposure]":
    from hapctl.cli.settings import open_from
    from hapctl.processing.pipeline.judge_alignment import judge_visit

    ctx.obj = {**ctx.obj, "home": str(demonstration.home), "database": "embedded"}
    with demonstration.step("Compare the WCS in force with the truth", "(recorded as a run of the catalog)"):
        _, catalog = open_from(ctx)
        judged = judge_visit(catalog, demonstration.visit, sys.argv[1:])
        catalog.close()
    for exposure in judged:
        before, after = exposure.delivered.rms_mas, exposure.in_force.rms_mas
        demonstration.say(f"{exposure.rootname}  as delivered {before:7.1f} mas, aligned {after:6.3f} mas")
    return judged


def _error(exposure: "JudgedExposure") -> dict[str, Any]:
    return {
        "rootname": exposure.rootname,
        "filter": exposure.filter,
        "wcsname": exposure.in_force.name,
        "delivered_rms_mas": exposure.delivered.rms_mas,
        "rms_mas": exposure.in_force.rms_mas,
        "max_mas": exposure.in_force.max_mas,
    }


def _show_end(demonstration: Demonstration, report: dict[str, Any]) -> None:
    console = demonstration.console
    console.print(f"\n[bold]Done in {report['seconds']:.0f} s[/bold]")
    demonstration.say(f"alignment against the truth: {report['worst_rms_mas']:.2f} mas rms at worst")
    demonstration.say("pictures:")
    for picture in report["pictures"]:
        demonstration.say(f"  {picture}")
    demonstration.say(f"ask more: hapctl --home {demonstration.home} sql -c 'SELECT * FROM run_status'")
    if report["server_stopped"]:
        demonstration.say("the demo's PostgreSQL is stopped; the next command on its home starts it again")


def _hapctl(home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run this hapctl in a process of its own, whatever catalog the user's environment names."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("HAPCTL_", "PG"))}
    program = [sys.executable, "-c", "from hapctl.cli.main import main; main()"]
    options = ["--home", str(home), "--database", "embedded", *arguments, "--json"]
    return subprocess.run([*program, *options], capture_output=True, text=True, env=environment, check=False)


def _complaint(done: subprocess.CompletedProcess[str], document: Any) -> str:
    error = document.get("error", {}) if isinstance(document, dict) else {}
    said = error.get("message") or " ".join(done.stderr.split()) or "no answer"
    return f"{said} (exit code {done.returncode})"
