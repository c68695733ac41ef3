"""``hapctl product recall``: a bad run, file, solution or product, and all that came of it, out of use."""

import sys
from typing import TYPE_CHECKING, Any, cast

import click
from hapctl.cli.output import json_option, print_json, say
from hapctl.cli.product_names import as_known

if TYPE_CHECKING:
    from hapctl.archive.database import Catalog
    from hapctl.archive.recalls import Descendant, Target
    from hapctl.processing.pipeline.recall import RecallReport

_WHAT = ("run", "file", "solution", "product")
_INDENT = "  "


@click.command("recall")
@click.option("--run", metavar="N", type=click.IntRange(min=1), help="A bad run.")
@click.option("--file", metavar="SHA256|PATH", help="A bad content of an exposure file.")
@click.option("--solution", metavar="ID|NAME[@RUN]", help="A bad WCS solution; a name with --exposure.")
@click.option("--exposure", metavar="ROOTNAME", help="Of the solution that is named.")
@click.option("--product", metavar="NAME|ID", callback=as_known, help="A bad product.")
@click.option("--reason", metavar="TEXT", help="Why, in words; part of the record.")
@click.option("--dry-run", is_flag=True, help="Show the tree of what came of it; change nothing.")
@click.option("--list", "list_all", is_flag=True, help="List all recalls and what waits for a rebuild.")
@click.option("--release", "released", metavar="N", type=click.IntRange(min=1), help="End a mistaken recall.")
@json_option
@click.pass_context
def recall(
    ctx: click.Context,
    reason: str | None,
    exposure: str | None,
    dry_run: bool,
    list_all: bool,
    released: int | None,
    as_json: bool,
    **what: Any,
) -> None:
    """Take a bad run, file, solution or product out of use, with all that came of it.

    Recalled products are no longer in force and their files go into the folder 'quarantine'; solutions
    before the recalled ones are in force again; an exposure whose file is bad goes into no product until a
    good one is ingested. 'hapctl mosaic --stale --all' then makes the products anew. Nothing is deleted:
    --release gives back what nothing has replaced since.

    \b
    hapctl product recall --run 12 --dry-run
    hapctl product recall --run 12 --reason "wrong Gaia epoch"
    hapctl product recall --file raw/j8bt09jcq_flt.fits --reason "trailed"
    hapctl product recall --solution IDC_x-FIT_SVM_GAIADR3@12 --exposure j8bt09jcq --reason "wrong match"
    hapctl product recall --list
    hapctl product recall --release 3 --reason "it was the other run"
    """
    from hapctl.cli.settings import open_from

    named = {kind: what[kind] for kind in _WHAT if what[kind] is not None}
    _check(ctx, named, reason, exposure, dry_run, list_all, released)
    _, catalog = open_from(ctx)
    if list_all:
        _list(catalog, as_json)
    elif released is not None:
        _release(catalog, released, str(reason), as_json)
    else:
        kind, name = next(iter(named.items()))
        _recall(catalog, cast("Target", kind), str(name), exposure, reason, dry_run, as_json)


def _check(
    ctx: click.Context,
    named: dict[str, Any],
    reason: str | None,
    exposure: str | None,
    dry_run: bool,
    list_all: bool,
    released: int | None,
) -> None:
    asked = len(named) + list_all + (released is not None)
    if asked != 1:
        raise click.UsageError(
            "name one thing: --run, --file, --solution or --product, or --list or --release", ctx
        )
    if exposure is not None and "solution" not in named:
        raise click.UsageError("--exposure belongs to --solution", ctx)
    if dry_run and not named:
        raise click.UsageError("--dry-run belongs to --run, --file, --solution and --product", ctx)
    if not (dry_run or list_all) and not (reason or "").strip():
        raise click.UsageError("say why: --reason TEXT", ctx)


def _recall(
    catalog: "Catalog",
    target: "Target",
    name: str,
    exposure: str | None,
    reason: str | None,
    dry_run: bool,
    as_json: bool,
) -> None:
    from hapctl.processing.pipeline.recall import plan_recall, recall, target_number

    with catalog.begin() as connection:
        number = target_number(connection, target, name, exposure)
    if dry_run:
        report = plan_recall(catalog, target, number)
    else:
        report = recall(catalog, target, number, str(reason), arguments=sys.argv[1:])
    if as_json:
        print_json(_document(report))
        return
    click.echo("\n".join(_tree(report)))
    _say_what_was_done(report)


def _document(report: "RecallReport") -> dict[str, Any]:
    return {
        **{name: getattr(report, name) for name in ("target", "number", "recall_id", "status", "run")},
        "nodes": [
            {**vars(node), "parents": [list(parent) for parent in node.parents]} for node in report.nodes
        ],
        "solutions": [vars(one) for one in report.solutions],
        "moved": list(report.moved),
    }


def _tree(report: "RecallReport") -> list[str]:
    """Return each node under what it came from first, each once with all that came of it."""
    children: dict[tuple[str, int], list[Descendant]] = {}
    for node in report.nodes:
        for parent in node.parents:
            children.setdefault(parent, []).append(node)
    shown: set[tuple[str, int]] = set()
    lines: list[str] = []
    todo = [(0, node) for node in report.nodes if node.key == (report.target, report.number)]
    while todo:
        depth, node = todo.pop()
        if node.key in shown:
            continue
        shown.add(node.key)
        lines.append(f"{_INDENT * depth}{_line(node)}")
        todo += [(depth + 1, child) for child in reversed(children.get(node.key, []))]
    return lines


def _line(node: "Descendant") -> str:
    state = ", in force" if node.in_force else ""
    if node.recalled and node.kind not in ("run", "attempt"):
        state += ", recalled already"
    return f"{node.kind} {node.number}: {node.label}{state}"


def _say_what_was_done(report: "RecallReport") -> None:
    for one in report.solutions:
        now = f"{one.now} is in force again" if one.now else "none is in force now (hapctl wcs activate)"
        say(f"hapctl: {one.rootname}: {one.before} is out of force, {now}")
    if report.status == "unchanged":
        say("hapctl: nothing of it is left to recall")
        return
    counts: dict[str, int] = {}
    for node in report.nodes:
        if not node.recalled:
            counts[node.kind] = counts.get(node.kind, 0) + 1
    parts = ", ".join(f"{number} {kind}{'' if number == 1 else 's'}" for kind, number in counts.items())
    if report.status == "to recall":
        say(f"hapctl: would recall {parts}")
        return
    say(f"hapctl: recall {report.recall_id}: {parts}; {len(report.moved)} files in quarantine")
    say("hapctl: 'hapctl mosaic --stale --all' makes the products anew")


def _list(catalog: "Catalog", as_json: bool) -> None:
    from hapctl.archive.recalls import list_recalls

    with catalog.begin() as connection:
        rows = list_recalls(connection)
    if as_json:
        print_json({"recalls": rows})
        return
    kinds = ("files", "queries", "solutions", "masks", "products")
    for row in rows:
        held = ", ".join(f"{row[kind]} {kind}" for kind in kinds if row[kind]) or "nothing"
        state = f"released: {row['released']}" if row["released"] is not None else "in force"
        click.echo(
            f"recall {row['recall_id']}  {row['target']} {row['target_id']}: {row['reason']}  [{state}]"
        )
        click.echo(f"{_INDENT}{held}, by run {row['run_id']}")
        for path in row["awaiting"]:
            click.echo(f"{_INDENT}awaits a rebuild: {path}")


def _release(catalog: "Catalog", recall_id: int, reason: str, as_json: bool) -> None:
    from hapctl.processing.pipeline.recall import release

    report = release(catalog, recall_id, reason, arguments=sys.argv[1:])
    if as_json:
        print_json(vars(report))
        return
    say(
        f"hapctl: recall {recall_id} is released: {len(report.products)} products and "
        f"{len(report.rootnames)} solutions are in force again, {len(report.moved)} files are back"
    )
